// Package crash kills the process at named points, so that tests can see what a crash there leaves. It does
// so only in programs built with the tag crashpoints; in all others At is empty.
//
// LIVEFN_CRASH=store.committed:17 kills the process with SIGKILL when it passes the point for the 17th time.
package crash

// The points.
const (
	StoreBegin     = "store.begin"     // a group is about to be committed
	StoreCommitted = "store.committed" // it is on disk, and nobody was told
	StoreTold      = "store.told"      // one of its writers was told
	InstallEnded   = "install.ended"   // npm has ended, and its files are the version's own
	InstallShared  = "install.shared"  // they are links into the tenant's store
	PublishBuilt   = "publish.built"   // a version's folder is whole, and not in its place
	PublishPlaced  = "publish.placed"  // it is in its place, and has no record
	DrainAsked     = "drain.asked"     // all were asked to pause
)

// Points lists them.
var Points = []string{StoreBegin, StoreCommitted, StoreTold, InstallEnded, InstallShared, PublishBuilt, PublishPlaced, DrainAsked}
