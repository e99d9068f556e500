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
// committed. A crash before that leaves a folder that the next Open sweeps away. Where to look next:
// publish.go.
package tenants
