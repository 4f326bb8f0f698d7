package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// identifierFlag makes --subscription-identifier one that may be repeated, as
// -q may.
func (o *subOptions) identifierFlag(g group) *option {
	return g.value(mqtt.SubscriptionIdentifier.String(),
		"`NUMBER` that the server puts on the messages of a subscription; given once it is for all topics, repeated for one after the other",
		func(s string) error {
			var one mqtt.Properties
			err := addProperty(&one, mqtt.SubscriptionIdentifier, s)
			o.identifiers = append(o.identifiers, one...)
			return err
		}).repeated()
}

// bundle is one SUBSCRIBE.
type bundle struct {
	subs  []mqtt.Subscription
	props mqtt.Properties
}

// bundles are the fewest that keep the order: a SUBSCRIBE has one Subscription
// Identifier for all of its filters, section 3.8.2.1.2.
func (o *subOptions) bundles(subs []mqtt.Subscription) []bundle {
	props := o.connect.props.subscribe
	if len(o.identifiers) == 0 {
		return []bundle{{subs, props}}
	}
	var all []bundle
	of := func(i int) mqtt.Property { return o.identifiers[min(i, len(o.identifiers)-1)] }
	for from := 0; from < len(subs); {
		to := from + 1
		for to < len(subs) && of(to).Number == of(from).Number {
			to++
		}
		all = append(all, bundle{subs[from:to], append(slices.Clone(props), of(from))})
		from = to
	}
	return all
}

// validateIdentifiers is for what the flag alone does not know.
func (o *subOptions) validateIdentifiers() error {
	f := o.flag(mqtt.SubscriptionIdentifier.String())
	switch {
	case len(o.identifiers) > max(1, len(o.topics)):
		return &usageError{text: fmt.Sprintf("%s is given %d times for %d topics", f.typed, len(o.identifiers), len(o.topics)),
			hint: "give it once for all, or once for each"}
	case len(o.identifiers) > 0 && o.connect.props.subscribe.Has(mqtt.SubscriptionIdentifier):
		return &usageError{text: f.typed + " and -D subscribe " + f.names[0] + " each give it", hint: "one of them is enough"}
	}
	return nil
}

// grant subscribes. With --allow-partial one filter that is granted is enough.
func (r *subscriber) grant(ctx context.Context, subs []mqtt.Subscription) error {
	var denials []*client.SubscribeError
	granted := false
	for _, b := range r.o.bundles(subs) {
		codes, err := r.c.Subscribe(ctx, b.subs, b.props)
		granted = granted || slices.ContainsFunc(codes, func(code mqtt.ReasonCode) bool { return !code.Failed() })
		denied, ok := errors.AsType[*client.SubscribeError](err)
		switch {
		case ok && r.o.allowPartial:
			denials = append(denials, denied)
		case err != nil:
			return err
		}
	}
	if !granted && len(denials) > 0 {
		return denials[0]
	}
	for _, denied := range denials {
		fmt.Fprintln(r.s.Err, "mqt sub:", plain(denied))
	}
	return nil
}
