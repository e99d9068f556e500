// Package packages publishes functions with real packages of the npm registry on a real hub, and calls them.
// It needs a registry, so it is no part of the plain tests: `make packages` runs it. The table is in
// table_test.go.
package packages
