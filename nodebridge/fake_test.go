package nodebridge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// fake speaks the protocol in Node's place. mode is how it starts; what a call's arguments say is
// what it does with the call; else it answers with the arguments.
func fake(mode string) {
	in, out := os.NewFile(3, "in"), os.NewFile(4, "out")
	f := &fakeBridge{out: out}
	f.large = incoming{from: &fromHub, max: 64<<20 + 64<<10, grant: func(id uint32, n int) {
		f.write(Credit, id, binary.LittleEndian.AppendUint32(nil, uint32(n)))
	}}
	switch mode {
	case "dies before ready":
		os.Exit(3)
	case "never ready":
		_, _ = io.Copy(io.Discard, in)
		return
	case "talks nonsense":
		_, _ = out.WriteString("Hello, world\n")
		_, _ = io.Copy(io.Discard, in)
		return
	case "answers before ready":
		f.write(Result, 1<<20, []byte{0})
		_, _ = io.Copy(io.Discard, in)
		return
	}
	f.write(Ready, 0, []byte(`{"pid":1,"node":"fake"}`))
	split := splitter{from: &fromHub}
	chunk := make([]byte, 1<<20)
	for {
		n, err := in.Read(chunk)
		if err != nil {
			return
		}
		if err := split.split(chunk[:n], f.frame); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(4)
		}
	}
}

type fakeBridge struct {
	out   *os.File
	large incoming
	log   bytes.Buffer // the order of what came
}

func (b *fakeBridge) write(kind Kind, id uint32, payload []byte) {
	if _, err := b.out.Write(appendFrame(nil, kind, id, payload)); err != nil {
		os.Exit(5)
	}
}

func (b *fakeBridge) frame(f Frame) error {
	switch f.Kind {
	case Begin:
		return b.large.begin(f)
	case Data:
		f, done, err := b.large.data(f)
		if done && err == nil {
			b.message(f)
		}
		return err
	}
	b.message(f)
	return nil
}

func (b *fakeBridge) message(f Frame) {
	if f.Kind == Ping {
		b.write(Pong, f.ID, nil)
		return
	}
	fmt.Fprintf(&b.log, "%s ", kindNames[f.Kind])
	switch f.Kind {
	case Load:
		if !bytes.Contains(f.Payload, []byte("never loads")) {
			b.write(Loaded, f.ID, []byte(`{"declared":2,"kind":"generator"}`))
		}
	case Invoke:
		n := 6 + int(f.Payload[5])
		args := f.Payload[n+2+int(binary.LittleEndian.Uint16(f.Payload[n:])):]
		b.call(f.ID, string(args))
	case Send:
		b.write(Event, f.ID, f.Payload[8:])
	case Response:
		b.write(Result, f.ID, append([]byte{0}, f.Payload...))
	case Cancel:
		b.write(Error, f.ID, f.Payload)
	case Pause:
		b.write(Paused, f.ID, append([]byte{0, 0}, f.Payload...))
	}
}

// stop stays alive and does nothing. (select {} would not do: the runtime ends a program whose
// goroutines all wait.)
func stop() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }

func (b *fakeBridge) call(id uint32, args string) {
	switch args {
	case "hang":
	case "ask":
		b.write(Request, id, append([]byte{7, 0, 0, 0, byte(OpPublish)}, `{"stream":"s"}`...))
	case "exit":
		os.Exit(6)
	case "nonsense":
		_, _ = b.out.WriteString("\xff\xff\xff\xffgarbage")
	case "answer twice":
		b.write(Result, id, []byte("\x00once"))
		b.write(Result, id, []byte("\x00twice"))
		b.write(Event, id, []byte("\x01tlate"))
	case "answer others":
		for i := range uint32(5) {
			b.write(Result, id+i<<20+i, []byte("\x00not mine")) // i 0 is it
		}
	case "stop reading":
		b.write(Event, id, []byte("\x07stopped"))
		stop()
	case "close":
		_ = b.out.Close()
		stop()
	case "print":
		fmt.Println(strings.Repeat("x", 10))
		fmt.Println()
		fmt.Print("ab\ncd\n", strings.Repeat("y", 20), "\nunended")
		os.Exit(0)
	case "log":
		b.write(Result, id, append([]byte{0}, b.log.Bytes()...))
	default:
		if len(args)+1 <= MaxPayload {
			b.write(Result, id, append([]byte{0}, args...))
			return
		}
		body := appendBody(nil, Result, id, append([]byte{0}, args...))
		b.write(Begin, id, binary.LittleEndian.AppendUint32(nil, uint32(len(body))))
		b.write(Data, id, body[:min(len(body), MaxPayload)]) // the test keeps them below Window
		for at := MaxPayload; at < len(body); at += MaxPayload {
			b.write(Data, id, body[at:min(len(body), at+MaxPayload)])
		}
	}
}
