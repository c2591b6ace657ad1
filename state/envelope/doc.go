// Package envelope is the header in front of every value that the state layer stores: how the
// payload is encoded, its class, schema, key and flags, when it was made and changed, and on
// whose behalf.
//
//	b, err := envelope.Append(nil, &envelope.Header{Class: envelope.Standard, Codec: envelope.MessagePack})
//	b, err = codec.Append(b, value, nil) // the payload follows
//	h, payload, err := envelope.Decode(b)
//
// The package must not know what a payload means, where envelopes lie, or what time it is.
//
// Invariants:
//
//   - E1. Whatever is stored says how it is encoded and of which class it is: nobody guesses.
//   - E2. A header has one encoding, and Decode accepts no other bytes.
//   - E3. What this version does not know is refused, and never passed over.
//
// docs/formats/envelope.md is the layout.
//
// Reading order: class.go, envelope.go, decode.go.
package envelope
