package topic_test

import (
	"fmt"
	"slices"

	"mqt/mqtt/topic"
)

func ExampleFilterTree() {
	var subscriptions topic.FilterTree[string, string]
	subscriptions.Set("sensors/+/temperature", "client-1", "one")
	subscriptions.Set("sensors/#", "client-2", "two")
	subscriptions.Set("sensors/7/temperature", "client-3", "three")
	subscriptions.Set("sensors/7", "client-4", "four")

	matches := subscriptions.AppendMatches(nil, "sensors/7/temperature")
	slices.Sort(matches)
	fmt.Println(matches)
	// Output: [one three two]
}

func ExampleNameTree() {
	var retained topic.NameTree[int]
	retained.Set("sensors/7", 21)
	retained.Set("sensors/8", 22)
	retained.Set("doors/1", 0)

	retained.Match("sensors/+", func(name string, value int) bool {
		if name == "sensors/8" {
			fmt.Println(name, value)
		}
		return true
	})
	// Output: sensors/8 22
}

func ExampleSplitShare() {
	group, inner, shared, err := topic.SplitShare("$share/workers/jobs/+")
	fmt.Println(group, inner, shared, err)
	_, _, _, err = topic.SplitShare("$share/workers")
	fmt.Println(err)
	// Output:
	// workers jobs/+ true <nil>
	// topic: no Topic Filter follows the ShareName [MQTT-4.8.2-2]
}
