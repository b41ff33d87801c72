// Package lifecycle is the hook lifecycle: the settings come, the instance goes.
package lifecycle

import (
	"unsafe"

	"example-plugin/tidegate/internal/abi"
)

// Registration says what the plugin is to be asked about.
type Registration struct {
	// Topics are Topic Filters: other messages are kept away from the plugin. None: all are for it.
	Topics []string
	// EagerPayload is up to how many bytes a payload comes with the call. Nil: 16384.
	EagerPayload *uint32
	// AuthorizeDeliveries has the authorizer be asked before every delivery too.
	AuthorizeDeliveries bool
}

var onInit func(settings []byte) (Registration, error)

// OnInit is given the settings as JSON, before any hook is called. An error keeps this version of the plugin
// from starting.
func OnInit(handler func(settings []byte) (Registration, error)) { onInit = handler }

type started struct {
	failed   uint8
	_        [3]uint8
	topics   abi.List // or the error
	hasEager uint8
	_        [3]uint8
	eager    uint32
	deliver  uint8
}

//go:wasmexport tidegate:plugin/lifecycle@0.1.0#init
func start(settings unsafe.Pointer, length uint32) unsafe.Pointer {
	abi.Begin()
	registration, err := onInit(append([]byte(nil), abi.Bytes(settings, length)...))
	abi.Release()
	result := abi.Result[started]()
	if err != nil {
		result.failed, result.topics = 1, abi.Of(err.Error())
		return unsafe.Pointer(result)
	}
	topics := make([]abi.List, len(registration.Topics))
	for i, topic := range registration.Topics {
		topics[i] = abi.Of(topic)
	}
	result.topics = abi.OfLists(topics, 1)
	if registration.EagerPayload != nil {
		result.hasEager, result.eager = 1, *registration.EagerPayload
	}
	if registration.AuthorizeDeliveries {
		result.deliver = 1
	}
	return unsafe.Pointer(result)
}

//go:wasmexport tidegate:plugin/lifecycle@0.1.0#drain
func drain() unsafe.Pointer {
	return unsafe.Pointer(abi.Result[[2]uint64]())
}

//go:wasmexport tidegate:plugin/lifecycle@0.1.0#migrate
func migrate(version uint32, state unsafe.Pointer, length uint32) unsafe.Pointer {
	abi.Release()
	return unsafe.Pointer(abi.Result[abi.Optional]())
}
