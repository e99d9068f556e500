// Package smalldisk gives tests a disk that they can fill. Only tests import it, and only on Linux is there anything
// in it.
package smalldisk
