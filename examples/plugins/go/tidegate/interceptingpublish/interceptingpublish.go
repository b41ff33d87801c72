// Package interceptingpublish is the hook intercepting-publish: every message, before it is stored or routed.
package interceptingpublish

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Message is what is published.
type Message struct {
	// Client is 0 where the broker or a plugin made the message.
	Client uint64
	Origin tidegate.Origin
	Topic  string
	// Payload is nil where it is longer than the plugin's EagerPayload; tidegate.Payload has parts of it.
	Payload       []byte
	PayloadLength uint32
	QoS           tidegate.QoS
	Retain        bool
}

// Verdict is what becomes of it.
type Verdict struct{ kind, reason uint8 }

// Continue lets it pass, changed where tidegate.Modify and the like said so.
func Continue() Verdict { return Verdict{} }

// Swallow acknowledges it and routes it to nobody.
func Swallow() Verdict { return Verdict{kind: 1} }

// Reject acknowledges it with this Reason Code, 0x80 or above.
func Reject(reason tidegate.ReasonCode) Verdict { return Verdict{2, uint8(reason)} }

var handler func(Message) Verdict

// Handle names the function that answers.
func Handle(function func(Message) Verdict) { handler = function }

//go:wasmexport tidegate:plugin/intercepting-publish@0.1.0#intercept
func intercept(client uint64, origin uint32, topic unsafe.Pointer, topicLength, hasPayload uint32,
	payload unsafe.Pointer, length, payloadLength, qos, retain uint32) unsafe.Pointer {
	abi.Begin()
	message := Message{Client: client, Origin: tidegate.Origin(origin), Topic: abi.String(topic, topicLength),
		PayloadLength: payloadLength, QoS: tidegate.QoS(qos), Retain: retain != 0}
	if hasPayload != 0 {
		message.Payload = abi.Bytes(payload, length)
	}
	verdict := handler(message)
	abi.Release()
	result := abi.Result[Verdict]()
	*result = verdict
	return unsafe.Pointer(result)
}
