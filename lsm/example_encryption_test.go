package lsm_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
)

// An encrypted store needs its key at each opening. An anchor that is kept elsewhere shows
// whether somebody has put the store back to what it was before.
func Example_encrypted() {
	dir, err := os.MkdirTemp("", "loam")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	key := []byte("32 bytes from where keys are kept") // see also crypto.KeyFile, KeyEnv and Passphrase
	options := &lsm.Options{Encryption: &lsm.Encryption{
		Key:    crypto.KeyBytes(key[:crypto.KeyLen]),
		Policy: crypto.Policy{MaxAge: 90 * 24 * time.Hour},
	}}
	store := filepath.Join(dir, "diary")
	db, err := lsm.Open(store, options)
	if err != nil {
		log.Fatal(err)
	}
	_ = db.Set([]byte("monday"), []byte("rain"), nil)
	anchor, err := db.Anchor()
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}

	_, err = lsm.Open(store, nil)
	fmt.Println(errors.Is(err, lsm.ErrEncrypted))
	_, err = lsm.Open(store, &lsm.Options{Encryption: &lsm.Encryption{
		Key: crypto.KeyBytes([]byte("a guess that has the right length")[:crypto.KeyLen]),
	}})
	fmt.Println(errors.Is(err, lsm.ErrWrongKey))

	options.Encryption.MinAnchor = anchor
	db, err = lsm.Open(store, options)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	v, err := db.Get([]byte("monday"))
	fmt.Printf("%s %v\n", v, err)
	// Output:
	// true
	// true
	// rain <nil>
}
