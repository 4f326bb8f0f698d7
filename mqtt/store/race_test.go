//go:build race

package store_test

// raceEnabled: memory is measured without the race detector, and less is tried.
const raceEnabled = true
