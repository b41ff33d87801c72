// Package authorizer is the hook authorizer: who may publish, subscribe, receive what.
package authorizer

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Action is what is asked for.
type Action uint32

const (
	Publish Action = iota
	Subscribe
	Deliver
)

// Access is the question.
type Access struct {
	// Client is 0 where the broker or a plugin made the message.
	Client uint64
	Action Action
	// Topic is a Topic Filter for Subscribe.
	Topic  string
	QoS    tidegate.QoS
	Retain bool
}

// Verdict is the answer.
type Verdict struct {
	kind    uint8
	_       [3]uint8
	first   uint32
	cacheMs uint32
}

// Next leaves it to the next plugin, and after the last one to the listener.
func Next() Verdict { return Verdict{} }

// Allow may be repeated by the broker for so many milliseconds without asking.
func Allow(cacheMs uint32) Verdict { return Verdict{kind: 1, first: cacheMs} }

// Deny is the same with the Reason Code that the client is told.
func Deny(reason tidegate.ReasonCode, cacheMs uint32) Verdict {
	return Verdict{kind: 2, first: uint32(reason), cacheMs: cacheMs}
}

var handler func(Access) Verdict

// Handle names the function that answers.
func Handle(function func(Access) Verdict) { handler = function }

//go:wasmexport tidegate:plugin/authorizer@0.1.0#authorize
func authorize(client uint64, action uint32, topic unsafe.Pointer, length, qos, retain uint32) unsafe.Pointer {
	abi.Begin()
	verdict := handler(Access{client, Action(action), abi.String(topic, length), tidegate.QoS(qos), retain != 0})
	abi.Release()
	result := abi.Result[Verdict]()
	*result = verdict
	return unsafe.Pointer(result)
}
