// Package validatingconnection is the hook validating-connection: who is let in.
package validatingconnection

import (
	"unsafe"

	"example-plugin/tidegate"
	"example-plugin/tidegate/internal/abi"
)

// Connect is a CONNECT.
type Connect struct {
	Client uint64
	// ClientIdentifier is empty where the client left it to the broker.
	ClientIdentifier string
	// UserName and Password are nil where there is none.
	UserName *string
	Password []byte
}

// Verdict is the answer.
type Verdict struct{ kind, reason uint8 }

// Next leaves it to the next plugin, and after the last one to the listener's `anonymous`.
func Next() Verdict { return Verdict{} }

// Allow lets the client in.
func Allow() Verdict { return Verdict{kind: 1} }

// Deny refuses it with this Reason Code, 0x80 or above.
func Deny(reason tidegate.ReasonCode) Verdict { return Verdict{2, uint8(reason)} }

// Purpose of an enhanced authentication.
type Purpose uint32

const (
	ToConnect Purpose = iota
	ToStay
)

// Authentication is a CONNECT with an Authentication Method, or an AUTH.
type Authentication struct {
	Client  uint64
	Purpose Purpose
	Method  string
	Data    []byte
	// State is that of the challenge which this answers. Nil: it begins.
	State []byte
}

// AuthenticationVerdict is the answer to it.
type AuthenticationVerdict struct {
	kind        uint8
	reason      uint8
	data, state []byte
}

// NextAuthentication is for methods that are not the plugin's.
func NextAuthentication() AuthenticationVerdict { return AuthenticationVerdict{} }

// AllowAuthentication ends the exchange, with data for the client where they are not nil.
func AllowAuthentication(data []byte) AuthenticationVerdict {
	return AuthenticationVerdict{kind: 1, data: data}
}

// DenyAuthentication refuses the client.
func DenyAuthentication(reason tidegate.ReasonCode) AuthenticationVerdict {
	return AuthenticationVerdict{kind: 2, reason: uint8(reason)}
}

// Challenge asks the client, and has the state come back with its answer.
func Challenge(data, state []byte) AuthenticationVerdict {
	return AuthenticationVerdict{kind: 3, data: data, state: state}
}

var handler func(Connect) Verdict

var authenticator = func(Authentication) AuthenticationVerdict { return NextAuthentication() }

// Handle names the function that answers.
func Handle(function func(Connect) Verdict) { handler = function }

// HandleAuthentication names the function that knows Authentication Methods; without it the plugin knows none.
func HandleAuthentication(function func(Authentication) AuthenticationVerdict) {
	authenticator = function
}

//go:wasmexport tidegate:plugin/validating-connection@0.1.0#validate
func validate(client uint64, identifier unsafe.Pointer, length uint32,
	hasName uint32, name unsafe.Pointer, nameLength uint32,
	hasPassword uint32, password unsafe.Pointer, passwordLength uint32) unsafe.Pointer {
	abi.Begin()
	connect := Connect{Client: client, ClientIdentifier: abi.String(identifier, length),
		Password: optional(hasPassword, password, passwordLength)}
	if hasName != 0 {
		text := abi.String(name, nameLength)
		connect.UserName = &text
	}
	verdict := handler(connect)
	abi.Release()
	result := abi.Result[Verdict]()
	*result = verdict
	return unsafe.Pointer(result)
}

type answer struct {
	kind uint8
	_    [3]uint8
	// Whether there are data, or the Reason Code.
	first uint8
	_     [3]uint8
	data  abi.List
	state abi.List
}

//go:wasmexport tidegate:plugin/validating-connection@0.1.0#authenticate
func authenticate(client uint64, purpose uint32, method unsafe.Pointer, length uint32,
	hasData uint32, data unsafe.Pointer, dataLength uint32,
	hasState uint32, state unsafe.Pointer, stateLength uint32) unsafe.Pointer {
	abi.Begin()
	verdict := authenticator(Authentication{Client: client, Purpose: Purpose(purpose),
		Method: abi.String(method, length), Data: optional(hasData, data, dataLength),
		State: optional(hasState, state, stateLength)})
	abi.Release()
	result := abi.Result[answer]()
	result.kind, result.first = verdict.kind, verdict.reason
	if verdict.data != nil {
		result.first, result.data = 1, abi.OfBytes(verdict.data)
	}
	if verdict.kind == 3 {
		result.state = abi.OfBytes(verdict.state)
	}
	return unsafe.Pointer(result)
}

func optional(has uint32, start unsafe.Pointer, length uint32) []byte {
	if has == 0 {
		return nil
	}
	return abi.Bytes(start, length)
}
