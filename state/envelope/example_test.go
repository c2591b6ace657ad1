package envelope_test

import (
	"fmt"

	"github.com/loamdb/loam/state/codec"
	"github.com/loamdb/loam/state/envelope"
)

func Example() {
	h := envelope.Header{Class: envelope.Standard, Codec: envelope.MessagePack, Schema: 7, SchemaVersion: 2}
	b, err := envelope.Append(nil, &h)
	fmt.Println(len(b), err)
	b, err = codec.Append(b, "hello", nil) // the payload follows
	fmt.Printf("% x %v\n", b, err)
	got, payload, err := envelope.Decode(b)
	fmt.Println(got.Class, got.Schema, got.SchemaVersion, err)
	v, err := codec.Decode(payload, nil)
	fmt.Println(v, err)
	// Output:
	// 5 <nil>
	// 01 0b 01 07 02 a5 68 65 6c 6c 6f <nil>
	// standard 7 2 <nil>
	// hello <nil>
}
