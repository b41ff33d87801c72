// Package tidegate has what plugins may ask of the broker: the host services of wit/. The packages beside it
// are the hooks: who imports one implements it.
//
// Strings and bytes that come from the broker may be kept.
package tidegate

import (
	"errors"
	"time"
	"unsafe"

	"example-plugin/tidegate/internal/abi"
)

// QoS of a message.
type QoS uint32

const (
	AtMostOnce QoS = iota
	AtLeastOnce
	ExactlyOnce
)

// Origin says where a message comes from.
type Origin uint32

const (
	FromClient Origin = iota
	FromWill
	Injected
	FromBridge
	FromCluster
	FromRetained
)

// ReasonCode of MQTT 5.0; clients of 3.1.1 see the nearest that they have.
type ReasonCode uint8

const (
	UnspecifiedError            ReasonCode = 0x80
	ImplementationSpecificError ReasonCode = 0x83
	NotAuthorized               ReasonCode = 0x87
	TopicNameInvalid            ReasonCode = 0x90
	QuotaExceeded               ReasonCode = 0x97
	PayloadFormatInvalid        ReasonCode = 0x99
)

// Level of a log line.
type Level uint32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

//go:wasmimport tidegate:plugin/log@0.1.0 write
func logWrite(level, message, length, fields, count uint32)

// Log writes a line with fields, which are names and values by turns.
func Log(level Level, message string, fields ...string) {
	lists := make([]abi.List, len(fields)/2*2)
	for i := range lists {
		lists[i] = abi.Of(fields[i])
	}
	text, rest := abi.Of(message), abi.OfLists(lists, 2)
	logWrite(uint32(level), text.Start, text.Length, rest.Start, rest.Length)
}

//go:wasmimport tidegate:plugin/client@0.1.0 identifier
func clientIdentifier(result unsafe.Pointer)

// ClientIdentifier of the client that the call is about; empty outside such a call.
func ClientIdentifier() string {
	result := abi.Result[abi.List]()
	clientIdentifier(unsafe.Pointer(result))
	return result.String()
}

//go:wasmimport tidegate:plugin/client@0.1.0 user-name
func clientUserName(result unsafe.Pointer)

// ClientUserName says whether it has one, too.
func ClientUserName() (string, bool) {
	result := abi.Result[abi.Optional]()
	clientUserName(unsafe.Pointer(result))
	return result.List.String(), result.Case == 1
}

// UserProperty of a message.
type UserProperty struct{ Name, Value string }

//go:wasmimport tidegate:plugin/message@0.1.0 user-properties
func userProperties(result unsafe.Pointer)

// UserProperties of the message.
func UserProperties() []UserProperty {
	result := abi.Result[abi.List]()
	userProperties(unsafe.Pointer(result))
	lists := result.Lists(2)
	properties := make([]UserProperty, len(lists)/2)
	for i := range properties {
		properties[i] = UserProperty{lists[2*i].String(), lists[2*i+1].String()}
	}
	return properties
}

//go:wasmimport tidegate:plugin/message@0.1.0 set-user-properties
func setUserProperties(start, length uint32)

// SetUserProperties in place of those that the message has.
func SetUserProperties(properties []UserProperty) {
	list := ofProperties(properties)
	setUserProperties(list.Start, list.Length)
}

func ofProperties(properties []UserProperty) abi.List {
	lists := make([]abi.List, 0, 2*len(properties))
	for _, property := range properties {
		lists = append(lists, abi.Of(property.Name), abi.Of(property.Value))
	}
	return abi.OfLists(lists, 2)
}

//go:wasmimport tidegate:plugin/message@0.1.0 payload
func payload(offset, length uint32, result unsafe.Pointer)

// Payload is a part of the message's, shorter where it ends before.
func Payload(offset, length uint32) []byte {
	result := abi.Result[abi.List]()
	payload(offset, length, unsafe.Pointer(result))
	return result.Bytes()
}

//go:wasmimport tidegate:plugin/message@0.1.0 modify
func modify(hasTopic, topic, topicLength, hasPayload, payload, length, hasQoS, qos, hasRetain, retain uint32)

// Modification of a message; what is nil stays as it is.
type Modification struct {
	Topic   *string
	Payload []byte
	QoS     *QoS
	Retain  *bool
}

// Modify takes effect where the verdict lets the message pass.
func Modify(change Modification) {
	var topic, payload abi.List
	var hasTopic, hasPayload, hasQoS, qos, hasRetain, retain uint32
	if change.Topic != nil {
		hasTopic, topic = 1, abi.Of(*change.Topic)
	}
	if change.Payload != nil {
		hasPayload, payload = 1, abi.OfBytes(change.Payload)
	}
	if change.QoS != nil {
		hasQoS, qos = 1, uint32(*change.QoS)
	}
	if change.Retain != nil {
		hasRetain, retain = 1, flag(*change.Retain)
	}
	modify(hasTopic, topic.Start, topic.Length, hasPayload, payload.Start, payload.Length,
		hasQoS, qos, hasRetain, retain)
}

//go:wasmimport tidegate:plugin/message@0.1.0 choose
func choose(start, length, copies, count uint32)

// Choose says in interceptingclientenqueue what each receiver gets, in their order: 0 nothing, 1 the message as it
// is, 2 the first copy, 3 the second, and so on.
func Choose(perReceiver []uint32, copies ...Modification) {
	type item struct {
		topic, payload                 abi.Optional
		hasQoS, qos, hasRetain, retain uint8
	}
	items := make([]item, len(copies))
	for i, change := range copies {
		if change.Topic != nil {
			items[i].topic = abi.Optional{Case: 1, List: abi.Of(*change.Topic)}
		}
		if change.Payload != nil {
			items[i].payload = abi.Optional{Case: 1, List: abi.OfBytes(change.Payload)}
		}
		if change.QoS != nil {
			items[i].hasQoS, items[i].qos = 1, uint8(*change.QoS)
		}
		if change.Retain != nil {
			items[i].hasRetain, items[i].retain = 1, uint8(flag(*change.Retain))
		}
	}
	choices, changed := abi.OfItems(perReceiver), abi.OfItems(items)
	choose(choices.Start, choices.Length, changed.Start, changed.Length)
}

func flag(is bool) uint32 {
	if is {
		return 1
	}
	return 0
}

//go:wasmimport tidegate:plugin/reply@0.1.0 reason-string
func reasonString(start, length uint32)

// ReasonString goes with the acknowledgement.
func ReasonString(text string) {
	list := abi.Of(text)
	reasonString(list.Start, list.Length)
}

// ErrState is a quota that is used up, or a value that is no number.
var ErrState = errors.New("the state was not changed")

//go:wasmimport tidegate:plugin/state@0.1.0 get
func stateGet(start, length uint32, result unsafe.Pointer)

// StateGet says whether the key is there, too. All instances of the plugin share the state.
func StateGet(key string) ([]byte, bool) {
	list, result := abi.Of(key), abi.Result[abi.Optional]()
	stateGet(list.Start, list.Length, unsafe.Pointer(result))
	return result.List.Bytes(), result.Case == 1
}

//go:wasmimport tidegate:plugin/state@0.1.0 set
func stateSet(key, keyLength, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer)

// StateSet forgets the key after the time to live, where that is not 0.
func StateSet(key string, value []byte, ttl time.Duration) error {
	name, bytes, result := abi.Of(key), abi.OfBytes(value), abi.Result[uint8]()
	stateSet(name.Start, name.Length, bytes.Start, bytes.Length, flag(ttl > 0), uint64(ttl.Milliseconds()),
		unsafe.Pointer(result))
	return errorWhere(*result, ErrState)
}

//go:wasmimport tidegate:plugin/state@0.1.0 delete
func stateDelete(start, length uint32) uint32

// StateDelete says whether the key was there.
func StateDelete(key string) bool {
	list := abi.Of(key)
	return stateDelete(list.Start, list.Length) != 0
}

//go:wasmimport tidegate:plugin/state@0.1.0 atomic-add
func stateAdd(start, length uint32, delta int64, result unsafe.Pointer)

// StateAdd gives the sum; a key that is not there counts as 0.
func StateAdd(key string, delta int64) (int64, error) {
	type added struct {
		failed uint8
		_      [7]uint8
		sum    int64
	}
	list, result := abi.Of(key), abi.Result[added]()
	stateAdd(list.Start, list.Length, delta, unsafe.Pointer(result))
	return result.sum, errorWhere(result.failed, ErrState)
}

// ErrPublish is a topic that is illegal or not granted, or a queue that is full.
var ErrPublish = errors.New("the message was not taken")

//go:wasmimport tidegate:plugin/broker@0.1.0 publish
func publish(topic, topicLength, payload, length, qos, retain, properties, count uint32, result unsafe.Pointer)

// Publish is done after the hook. The configuration has to grant the topic.
func Publish(topic string, payload []byte, qos QoS, retain bool, properties ...UserProperty) error {
	name, bytes, rest := abi.Of(topic), abi.OfBytes(payload), ofProperties(properties)
	result := abi.Result[uint8]()
	publish(name.Start, name.Length, bytes.Start, bytes.Length, uint32(qos), flag(retain), rest.Start, rest.Length,
		unsafe.Pointer(result))
	return errorWhere(*result, ErrPublish)
}

func errorWhere(failed uint8, err error) error {
	if failed != 0 {
		return err
	}
	return nil
}
