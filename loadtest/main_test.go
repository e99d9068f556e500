package loadtest

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also stands in for the livefn program, which a comparison starts as its echo peer.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "load" && os.Args[2] == "peer" {
		os.Exit(echoMain())
	}
	goleak.VerifyTestMain(m)
}
