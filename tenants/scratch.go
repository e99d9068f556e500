package tenants

import "path/filepath"

// Scratch lists what is below Config.Dir and made anew when it is missing: a backup leaves it out.
func (r *Registry) Scratch() []string {
	return []string{r.buildDir(), filepath.Dir(r.cacheDir("any")), filepath.Dir(r.filesDir("any")), r.cfg.Runtimes}
}
