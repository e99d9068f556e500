package nodebridge

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// Module is one version of a function as bridges load it: a folder with a Node module in it. It must
// not change once NewModule gave it its handle.
type Module struct {
	Function string            `json:"function"`
	Version  int               `json:"version"`
	Tenant   string            `json:"tenant"`
	Dir      string            `json:"dir"`
	Tail     bool              `json:"tail"` // the tail object stands behind the caller's arguments
	Env      map[string]string `json:"env"`  // hub.env

	Node        string `json:"-"` // the program that runs it, in the bin of a folder that is its own; "": Config.Node
	Concurrency int    `json:"-"` // calls at once in one bridge; 0: no limit

	large  *atomic.Int32 // small answers until its calls are not heavy any more; see lane.go
	handle uint32
	load   func(*Config) []byte // its Load; of the first fleet that asks, as a module belongs to one
}

// Info is what a bridge found in a module.
type Info struct {
	Declared  int  // parameters in the function's source
	Generator bool // it yields
}

var handles atomic.Uint32

// NewModule gives spec a handle, which is unique in this program.
func NewModule(spec Module) *Module {
	m := &spec
	m.handle, m.large = handles.Add(1), new(atomic.Int32)
	var once sync.Once
	var load []byte
	m.load = func(cfg *Config) []byte {
		once.Do(func() {
			seen := *m
			seen.Dir = cfg.inside(m)
			load, _ = json.Marshal(seen) // strings, numbers and a map of strings always have a JSON form
		})
		return load
	}
	return m
}
