// Package bench is the load engine: many clients of package client against one
// Server, on a schedule, with every message accounted for. It measures and
// counts; it prints nothing.
//
// [Run] takes a [Scenario], one of the built-in roles, and [RunPlan] a [Plan] of
// groups and steps; both return a [Report]. Latency counts from the time at
// which the schedule wanted a message to be sent, not from when it was.
//
//	scenario.go   Scenario: a role and its numbers; roles.go makes it a Plan
//	plan.go       Plan: groups of clients, steps, actions
//	run.go        one run; steps.go the kinds of steps; sweep.go many runs
//	match.go      who gets what of whom
//	clients.go    connecting, coming back, leaving
//	publisher.go  one sending client; subscriber.go one receiving client
//	load.go       when messages are due
//	pacer.go      the schedule: one goroutine a core for all publishers
//	actions.go    connections that break on purpose
//	stamp.go      the header in each payload
//	ledger.go     what was seen: loss, duplicates, order; account.go sums up
//	histogram.go  latencies; merge.go adds up those of several runs
//	shard.go      a part of a load; merge_report.go, merge_hosts.go one Report of all parts
//	ceiling.go    what this machine can send at most
//	check.go      whether the generator can be believed
//	cost.go       what the Server's process used
//	rules.go      thresholds
//	progress.go   Snapshot: how it goes
//	report.go     Report: the result; verdict.go what it means; saved.go reads it
//	compare.go    Comparison: what became worse, of results before and after
package bench
