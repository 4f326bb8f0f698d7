//go:build !race

package broker

const visits = 10_000

const raceEnabled = false
