// Package interceptingsubscription is the hook intercepting-subscription: a SUBSCRIBE, before the index changes.
package interceptingsubscription

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Subscribe is the packet.
type Subscribe struct {
	Client        uint64
	Subscriptions []Subscription
	// Identifier is 0 where there is none.
	Identifier uint32
}

// Subscription is one of its filters.
type Subscription struct {
	Filter            string
	MaximumQoS        tidegate.QoS
	NoLocal           bool
	RetainAsPublished bool
	// RetainHandling is 0 (send retained messages), 1 (for a new subscription only) or 2 (never).
	RetainHandling uint8
}

// Verdict about one filter. Its zero value leaves it as it was asked for.
type Verdict struct {
	kind, code uint8
	filter     *string
}

// Next has no opinion.
func Next() Verdict { return Verdict{} }

// Grant with this QoS at most.
func Grant(maximum tidegate.QoS) Verdict { return Verdict{kind: 1, code: uint8(maximum)} }

// GrantOther subscribes another filter in place of the client's.
func GrantOther(maximum tidegate.QoS, filter string) Verdict {
	return Verdict{1, uint8(maximum), &filter}
}

// GrantWithoutRouting says granted, and routes nothing.
func GrantWithoutRouting() Verdict { return Verdict{kind: 2} }

// Deny with this Reason Code, 0x80 or above.
func Deny(reason tidegate.ReasonCode) Verdict { return Verdict{kind: 3, code: uint8(reason)} }

var handler func(Subscribe) []Verdict

// Handle names the function that answers: with one verdict per filter, in their order.
func Handle(function func(Subscribe) []Verdict) { handler = function }

type asked struct {
	filter                              abi.List
	qos, noLocal, asPublished, handling uint8
}

type answer struct {
	kind uint8
	_    [3]uint8
	// The QoS or the Reason Code.
	code      uint8
	_         [3]uint8
	hasFilter uint8
	_         [3]uint8
	filter    abi.List
}

//go:wasmexport tidegate:plugin/intercepting-subscription@0.1.0#intercept
func intercept(client uint64, subscriptions unsafe.Pointer, count, hasIdentifier, identifier uint32) unsafe.Pointer {
	abi.Begin()
	subscribe := Subscribe{Client: client}
	if hasIdentifier != 0 {
		subscribe.Identifier = identifier
	}
	for _, one := range unsafe.Slice((*asked)(subscriptions), count) {
		subscribe.Subscriptions = append(subscribe.Subscriptions, Subscription{Filter: one.filter.String(),
			MaximumQoS: tidegate.QoS(one.qos), NoLocal: one.noLocal != 0, RetainAsPublished: one.asPublished != 0,
			RetainHandling: one.handling})
	}
	verdicts := handler(subscribe)
	abi.Release()
	answers := make([]answer, len(verdicts))
	for i, verdict := range verdicts {
		answers[i] = answer{kind: verdict.kind, code: verdict.code}
		if verdict.filter != nil {
			answers[i].hasFilter, answers[i].filter = 1, abi.Of(*verdict.filter)
		}
	}
	result := abi.Result[abi.List]()
	*result = abi.OfItems(answers)
	return unsafe.Pointer(result)
}
