package e2e

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/livefn/livefn/internal/smalldisk"
)

// The disk of the functions fills up, whatever a publish has done by then: its answer says so, nothing of it can be
// seen, calls are answered, and the same publish is well once there is room. (A full disk of the store's refuses a
// publish before it begins: TestAHubOnAFullDiskServesCalls.)
func TestPublishesOnAFullDisk(t *testing.T) {
	small := smalldisk.Mounted(t, 96)
	if small == "" {
		return
	}
	const size = 8 << 20
	noise := make([]byte, size) // which does not pack
	_, _ = rand.Read(noise)
	if err := registry.add(map[string][]byte{
		"package.json": []byte(`{"name":"large","version":"1.0.0"}`), "noise": noise,
		"index.js": []byte("module.exports = require('fs').readFileSync(__dirname + '/noise').length"),
	}); err != nil {
		t.Fatal(err)
	}
	h := newHub(t)
	functions := filepath.Join(h.home, "data", "functions")
	if err := os.MkdirAll(functions, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(small, functions, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		h.stop()
		if err := syscall.Unmount(functions, 0); err != nil {
			t.Error(err)
		}
	}()
	h.start()
	var created struct{ Key string }
	h.as(adminKey).json("POST", "/v1/admin/tenants", map[string]string{"name": "e2e"}, http.StatusCreated, &created)
	h.key = created.Key
	h.publish("add", "module.exports = (a, b) => a + b")
	plain := map[string]any{"source": "module.exports = (a, b) => a - b // " + strings.Repeat("x", 8<<10)}
	packed := map[string]any{"source": "module.exports = () => require('large')", "dependencies": map[string]string{"large": "1.0.0"}}

	for _, c := range []struct {
		name  string
		body  any
		leave int64
	}{
		{"sub", plain, 0}, {"add", plain, 0},
		{"large", packed, 0},
		{"large", packed, 64 << 10},
		{"large", packed, 1 << 20},  // not all of the package can be fetched
		{"large", packed, 12 << 20}, // it can be, and not be unpacked beside that
		{"large", packed, 7 << 20},  // it was fetched
	} {
		name := fmt.Sprintf("%s with %d KiB left", c.name, c.leave>>10)
		empty := smalldisk.Fill(t, small, c.leave)
		var problem struct{ Code, Detail string }
		h.http().json("PUT", "/v1/functions/"+c.name, c.body, http.StatusServiceUnavailable, &problem)
		if problem.Code != "storage_unavailable" || !strings.HasPrefix(problem.Detail, "The hub's disk is full") {
			t.Errorf("%s: %+v", name, problem)
		}
		var sum int
		h.http().json("POST", "/v1/invoke/add", []int{3, 2}, http.StatusOK, &sum)
		if sum != 5 {
			t.Errorf("%s: 3 + 2 is %d", name, sum)
		}
		var list struct {
			Items []struct {
				Name             string
				Versions, Latest int
			}
		}
		h.http().json("GET", "/v1/functions", nil, http.StatusOK, &list)
		if len(list.Items) != 1 || list.Items[0].Name != "add" || list.Items[0].Versions != 1 {
			t.Errorf("%s: there are %+v", name, list)
		}
		if left := slices.Concat(entries(t, functions, "tenants/e2e"), entries(t, functions, "building")); len(left) != 1 {
			t.Errorf("%s: it left %v", name, left)
		}
		empty()
	}

	h.http().json("PUT", "/v1/functions/sub", plain, http.StatusCreated, nil)
	h.http().json("PUT", "/v1/functions/large", packed, http.StatusCreated, nil)
	var got int
	h.http().json("POST", "/v1/invoke/large", []any{}, http.StatusOK, &got)
	if got != size {
		t.Errorf("the package's file has %d bytes, want %d", got, size)
	}
	h.http().json("POST", "/v1/invoke/sub", []int{3, 2}, http.StatusOK, &got)
	if got != 1 {
		t.Errorf("3 - 2 is %d", got)
	}
}

// entries gives the names in a folder.
func entries(t *testing.T, path ...string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
