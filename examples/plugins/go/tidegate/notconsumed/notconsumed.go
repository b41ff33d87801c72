// Package notconsumed is the hook application-message-not-consumed: a message that nobody gets.
package notconsumed

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Why nobody gets it.
type Why uint32

const (
	NoSubscriber Why = iota
	AllVetoed
)

// Message is what was published.
type Message struct {
	// Client is 0 where the broker or a plugin made the message.
	Client uint64
	Origin tidegate.Origin
	Topic  string
	// Payload is nil where it is longer than the plugin's EagerPayload; tidegate.Payload has parts of it.
	Payload       []byte
	PayloadLength uint32
	QoS           tidegate.QoS
	Why           Why
}

// Verdict is what becomes of it.
type Verdict struct {
	kind, reason uint8
	topic        string
}

// Observe and no more.
func Observe() Verdict { return Verdict{} }

// Redirect publishes it to this Topic Name instead.
func Redirect(topic string) Verdict { return Verdict{kind: 1, topic: topic} }

// Answer with this Reason Code in place of 0x10.
func Answer(reason tidegate.ReasonCode) Verdict { return Verdict{kind: 2, reason: uint8(reason)} }

var handler func(Message) Verdict

// Handle names the function that answers.
func Handle(function func(Message) Verdict) { handler = function }

//go:wasmexport tidegate:plugin/application-message-not-consumed@0.1.0#not-consumed
func notConsumed(client uint64, origin uint32, topic unsafe.Pointer, topicLength uint32,
	hasPayload uint32, payload unsafe.Pointer, length, payloadLength, qos, why uint32) unsafe.Pointer {
	abi.Begin()
	message := Message{Client: client, Origin: tidegate.Origin(origin), Topic: abi.String(topic, topicLength),
		PayloadLength: payloadLength, QoS: tidegate.QoS(qos), Why: Why(why)}
	if hasPayload != 0 {
		message.Payload = abi.Bytes(payload, length)
	}
	verdict := handler(message)
	abi.Release()
	result := abi.Result[abi.Optional]()
	result.Case = verdict.kind
	switch verdict.kind {
	case 1:
		result.List = abi.Of(verdict.topic)
	case 2:
		result.List.Start = uint32(verdict.reason)
	}
	return unsafe.Pointer(result)
}
