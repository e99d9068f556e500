// Package tenants is what is owned, at rest: tenants, their keys, their functions and the functions'
// immutable versions.
//
//	Registry ──▶ Tenant ──▶ Function ──▶ Version 1, 2, 3 … ──▶ a folder with its files and node_modules
//	        └──▶ keys (hashed)
//
// Records are in the store (keyspace.go); the files of a version are in a folder of their own. All
// records are in memory too, in values that are replaced and never changed, so that Authenticate and
// Resolve take no lock.
//
// The invariant: a version is visible only when its folder is complete and on disk and its record is
// committed. So there is no state "installing" on disk: a crash before that leaves a folder that the
// next Open sweeps away, and whoever published was never answered and publishes again. A ready version
// whose folder is gone is broken from the next Open on.
//
// Packages are installed by npm (install.go) unless another version has the same (packages.go); their files
// are on the disk once for each tenant (files.go).
//
// A version is deleted only if nothing is on it (retire.go), and so its folder goes with it; folders of a
// deleted tenant do, since all that it ran is ended first (OnDelete).
//
// Installs run behind walls (Config.Walls). Lifecycle scripts run where the tenant wants them (registries.go); of a
// function's own .npmrc only the choice of versions is in effect. Where to look next: publish.go.
package tenants
