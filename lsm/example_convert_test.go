package lsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
)

// A store in clear is encrypted while it is used, and no process can open it without the key from the call on.
func ExampleEncrypt() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := filepath.Join(dir, "diary")
	db, err := lsm.Open(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = db.Set([]byte("monday"), []byte("rain"), nil)
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}

	key := []byte("32 bytes from where keys are kept")
	options := &lsm.Options{Encryption: &lsm.Encryption{Key: crypto.KeyBytes(key[:crypto.KeyLen])}}
	if err := lsm.Encrypt(ctx, store, options); err != nil {
		log.Fatal(err)
	}
	_, err = lsm.Open(store, nil)
	fmt.Println(errors.Is(err, lsm.ErrEncrypted))

	db, err = lsm.Open(store, options)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	st, err := db.KeyStatus() // until st.Conversion is NoConversion, st.Left tells how much is left; nobody has to wait
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.InClear.LogSegments, "segments of the log in clear")
	v, err := db.Get([]byte("monday"))
	fmt.Printf("%s %v\n", v, err)
	// Output:
	// true
	// 0 segments of the log in clear
	// rain <nil>
}
