package nodebridge

import (
	"fmt"
	"os"
	"strings"
)

// zombie reports whether the process is dead, and only its parent has not asked how it died.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}
