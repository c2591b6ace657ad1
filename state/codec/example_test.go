package codec_test

import (
	"errors"
	"fmt"

	"github.com/loamdb/loam/state/codec"
)

func Example() {
	type Turn struct {
		Role   string `msgpack:"role"`
		Tokens uint8  `msgpack:"tokens"`
	}
	b, err := codec.Append(nil, map[string]any{"role": "user", "tokens": int64(200)}, nil)
	fmt.Println(len(b), err)
	turn, err := codec.Unmarshal[Turn](b, nil)
	fmt.Println(turn, err)

	b, _ = codec.Append(nil, map[string]any{"role": "user", "tokens": int64(300)}, nil)
	_, err = codec.Unmarshal[Turn](b, nil)
	fmt.Println(err)
	var ve *codec.ValueError
	fmt.Println(errors.Is(err, codec.ErrOverflow), errors.As(err, &ve) && ve.Path == ".tokens")
	// Output:
	// 21 <nil>
	// {user 200} <nil>
	// codec: number out of range: an int64 does not fit uint8, at .tokens
	// true true
}
