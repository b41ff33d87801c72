// Package interceptingclientenqueue is the hook intercepting-client-enqueue: a message and all its receivers, before
// anything is queued.
package interceptingclientenqueue

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Message is on its way out.
type Message struct {
	// Sender is 0 where the broker or a plugin made the message.
	Sender uint64
	Origin tidegate.Origin
	Topic  string
	// Payload is nil where it is longer than the plugin's EagerPayload; tidegate.Payload has parts of it.
	Payload       []byte
	PayloadLength uint32
	Receivers     []Receiver
}

// Receiver is somebody the message is for.
type Receiver struct {
	// Client is 0 where the receiver is offline.
	Client  uint64
	Session uint64
	flags   uint64
}

// QoS it would be delivered with.
func (receiver Receiver) QoS() tidegate.QoS { return tidegate.QoS(receiver.flags & 3) }

// Retain flag it would be delivered with.
func (receiver Receiver) Retain() bool { return receiver.flags&4 != 0 }

// Verdict is what becomes of it.
type Verdict uint32

const (
	// Deliver to every receiver, as it is or as tidegate.Choose said.
	Deliver Verdict = iota
	// Skip every receiver.
	Skip
)

var handler func(Message) Verdict

// Handle names the function that answers.
func Handle(function func(Message) Verdict) { handler = function }

//go:wasmexport tidegate:plugin/intercepting-client-enqueue@0.1.0#intercept
func intercept(sender uint64, origin uint32, topic unsafe.Pointer, topicLength uint32,
	hasPayload uint32, payload unsafe.Pointer, length, payloadLength uint32,
	receivers unsafe.Pointer, count uint32) uint32 {
	abi.Begin()
	message := Message{Sender: sender, Origin: tidegate.Origin(origin), Topic: abi.String(topic, topicLength),
		PayloadLength: payloadLength, Receivers: unsafe.Slice((*Receiver)(receivers), count/3)}
	if hasPayload != 0 {
		message.Payload = abi.Bytes(payload, length)
	}
	verdict := handler(message)
	abi.Release()
	return uint32(verdict)
}
