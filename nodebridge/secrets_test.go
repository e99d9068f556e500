package nodebridge

import (
	"strings"
	"testing"
	"time"
)

// What is written past JavaScript ends in the hub's log, which the operator keeps elsewhere.
func TestSecretsAreHiddenInStrayOutput(t *testing.T) {
	printed := make(chan string, 16)
	f := running(t, Config{}, func(_ string, _ int, stream, line string) {
		if stream == "stdout" || stream == "stderr" {
			printed <- stream + " " + line
		}
	})
	m := module(t, `const { writeSync } = require('fs')
module.exports = (fd, text, hub) => { writeSync(fd, (text || Object.values(hub.env).join(' ')) + '\n') }`)
	m = NewModule(Module{Function: "f", Dir: m.Dir, Tail: true, Env: map[string]string{
		"A": "hush-hush", "B": "hush-hush-longer", "C": "short", "D": "first line\nsecond line"}})
	for args, want := range map[string]string{
		"[1]":               "stdout *** *** short ***",
		"[2]":               "stderr *** *** short ***",
		`[1,"nothing"]`:     "stdout nothing",
		`[2,"hush-hushed"]`: "stderr ***ed",
	} {
		if got := invoke(t, f, m, args); !strings.HasPrefix(got, "Result") {
			t.Fatal(got)
		}
		select {
		case got := <-printed:
			check(t, args, got, want)
		case <-time.After(patience):
			t.Fatal("nothing was printed")
		}
		if args == "[1]" || args == "[2]" { // the secret has a second line
			check(t, args, <-printed, want[:6]+" ***")
		}
	}
}
