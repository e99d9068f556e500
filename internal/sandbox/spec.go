package sandbox

import "os"

// DefaultTmp is the size of /tmp where a Spec names none.
const DefaultTmp = 128 << 20

// RuntimePrefix is where programs see a Node that is not the hub's own.
const RuntimePrefix = "/livefn/node"

// Spec is a program and what it sees.
type Spec struct {
	Program string   // absolute; what is installed beside it (see system_linux.go) is visible too
	Prefix  string   // where it sees the folder above its program's; "": where that is on the machine
	Args    []string // behind its name
	Env     []string // all of it, as NAME=value
	Dir     string   // where it starts, as it sees it
	Binds   []Bind
	Slot    *Slot // shows it a folder at SlotTo while it runs; nil: none
	SlotTo  string
	Network bool       // the machine's network; else it has a loopback device of its own
	Tmp     int64      // bytes that its /tmp may hold, in memory; 0: DefaultTmp
	Files   []*os.File // its descriptors from 3 on; they stay the caller's to close
}

// Bind is a file or folder that a program sees.
type Bind struct {
	From     string // on the machine; symbolic links in it are followed
	To       string // for the program; "": the same as From
	Writable bool
}

func (b Bind) to() string {
	if b.To == "" {
		return b.From
	}
	return b.To
}
