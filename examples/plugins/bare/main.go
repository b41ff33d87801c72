// Changes nothing yet: each hook answers as if the plugin were not there.
package main

import (
	// -- events
	"strconv"

	"example-plugin/tidegate"
	// -- authorizer
	"example-plugin/tidegate/authorizer"
	// -- events
	"example-plugin/tidegate/events"
	// -- intercepting-client-enqueue
	"example-plugin/tidegate/interceptingclientenqueue"
	// -- intercepting-publish
	"example-plugin/tidegate/interceptingpublish"
	// -- intercepting-subscription
	"example-plugin/tidegate/interceptingsubscription"
	// -- intercepting-unsubscription
	"example-plugin/tidegate/interceptingunsubscription"
	// -- lifecycle
	"example-plugin/tidegate/lifecycle"
	// -- application-message-not-consumed
	"example-plugin/tidegate/notconsumed"
	// -- validating-connection
	"example-plugin/tidegate/validatingconnection"
	// --
)

// What the plugin implements is what it imports and names here.
func init() {
	// -- lifecycle
	lifecycle.OnInit(start)
	// -- validating-connection
	validatingconnection.Handle(validate)
	// -- authorizer
	authorizer.Handle(authorize)
	// -- intercepting-publish
	interceptingpublish.Handle(interceptPublish)
	// -- intercepting-client-enqueue
	interceptingclientenqueue.Handle(interceptEnqueue)
	// -- intercepting-subscription
	interceptingsubscription.Handle(interceptSubscription)
	// -- intercepting-unsubscription
	interceptingunsubscription.Handle(interceptUnsubscription)
	// -- application-message-not-consumed
	notconsumed.Handle(notConsumed)
	// -- events
	events.Handle(handle)
	// --
}

func main() {}

// -- lifecycle
// An error keeps this version of the plugin from starting.
func start(settings []byte) (lifecycle.Registration, error) {
	return lifecycle.Registration{}, nil
}

// -- validating-connection
func validate(connect validatingconnection.Connect) validatingconnection.Verdict {
	return validatingconnection.Next()
}

// -- authorizer
func authorize(access authorizer.Access) authorizer.Verdict {
	return authorizer.Next()
}

// -- intercepting-publish
func interceptPublish(message interceptingpublish.Message) interceptingpublish.Verdict {
	return interceptingpublish.Continue()
}

// -- intercepting-client-enqueue
func interceptEnqueue(message interceptingclientenqueue.Message) interceptingclientenqueue.Verdict {
	return interceptingclientenqueue.Deliver
}

// -- intercepting-subscription
func interceptSubscription(subscribe interceptingsubscription.Subscribe) []interceptingsubscription.Verdict {
	return make([]interceptingsubscription.Verdict, len(subscribe.Subscriptions))
}

// -- intercepting-unsubscription
func interceptUnsubscription(client uint64, filters []string) []interceptingunsubscription.Verdict {
	return make([]interceptingunsubscription.Verdict, len(filters))
}

// -- application-message-not-consumed
func notConsumed(message notconsumed.Message) notconsumed.Verdict {
	return notconsumed.Observe()
}

// -- events
// The rows are packed as wit/deps/tidegate-plugin/events.wit says.
func handle(rows []uint64, texts string) {
	tidegate.Log(tidegate.Debug, "events", "words", strconv.Itoa(len(rows)))
}

// --
