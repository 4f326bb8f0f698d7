// Package bench is the load engine: many clients of package client against one
// Server, on a schedule, with every message accounted for. It measures and
// counts; it prints nothing.
//
// [Run] takes a [Scenario] through its phases (connect, subscribe, probe,
// warm-up, measure, drain) and returns a [Report]. Latency counts from the time
// at which the schedule wanted a message to be sent, not from when it was.
//
//	scenario.go   Scenario: what to do
//	shape.go      who publishes to whom
//	run.go        the phases
//	clients.go    connecting, subscribing, leaving
//	publisher.go  one sending client; subscriber.go one receiving client
//	pacer.go      the schedule: one goroutine a core for all publishers
//	stamp.go      the header in each payload
//	ledger.go     what was seen: loss, duplicates, order
//	histogram.go  latencies
//	progress.go   Snapshot: how it goes
//	report.go     Report: the result; verdict.go what it means
package bench
