//go:build !linux

package store

import "go.etcd.io/bbolt"

// unmap is for systems that are asked in another way, and not asked.
func unmap(*bbolt.Tx) {}
