//go:build race

package broker

// visits are fewer where each costs ten times as much.
const visits = 3_000

const raceEnabled = true
