// Encrypted storage: everything on disk is encrypted and authenticated under a key that is kept
// elsewhere, and whoever lacks it reads nothing.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/lsm"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

const secret = "the treasure is under the oak"

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "loam-encrypted-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	keyFile, storeDir := filepath.Join(dir, "master.key"), filepath.Join(dir, "store")
	key := make([]byte, crypto.KeyLen)
	rand.Read(key) // never fails
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return err
	}

	// Other sources of the key: crypto.KeyEnv, Passphrase, KeyBytes, or a function of yours.
	store, err := open(storeDir, crypto.KeyFile(keyFile))
	if err != nil {
		return err
	}
	if err := store.Set(ctx, scope.User("long john silver"), "treasure map", secret); err != nil {
		return err
	}
	if err := store.Close(); err != nil {
		return err
	}

	// Nothing on disk shows what was written, or where.
	for _, text := range []string{secret, "long john silver", "treasure map"} {
		found, err := grep(storeDir, text)
		if err != nil {
			return err
		}
		fmt.Printf("%q in clear: %t\n", text, found)
	}

	// Without the key, or with another one, the store does not open, and says why.
	_, err = state.Open(storeDir, nil)
	fmt.Println("without a key:", errors.Is(err, lsm.ErrEncrypted))
	_, err = open(storeDir, crypto.KeyBytes(bytes.Repeat([]byte{7}, crypto.KeyLen)))
	fmt.Println("with a wrong key:", errors.Is(err, lsm.ErrWrongKey))

	store, err = open(storeDir, crypto.KeyFile(keyFile))
	if err != nil {
		return err
	}
	value, err := store.Get(ctx, scope.User("long john silver"), "treasure map")
	fmt.Println("with the key:", value, err)
	if err := store.Close(); err != nil {
		return err
	}
	return later(ctx, filepath.Join(dir, "clear"), crypto.KeyFile(keyFile))
}

// later encrypts a store that was made in clear, by a call of its own, which is made once.
func later(ctx context.Context, dir string, key crypto.KeyProvider) error {
	store, err := state.Open(dir, nil)
	if err != nil {
		return err
	}
	if err := store.Set(ctx, scope.Global(), "greeting", "ahoy"); err != nil {
		return err
	}
	if err := store.Close(); err != nil {
		return err
	}
	if err := lsm.Encrypt(ctx, dir, &lsm.Options{Encryption: &lsm.Encryption{Key: key}}); err != nil {
		return err
	}
	_, err = state.Open(dir, nil)
	fmt.Println("encrypted later, without a key:", errors.Is(err, lsm.ErrEncrypted))

	// What was in clear is written anew in the background from now on; Metrics().Engine.ConversionBytes is what is left.
	store, err = open(dir, key)
	if err != nil {
		return err
	}
	defer store.Close()
	value, err := store.Get(ctx, scope.Global(), "greeting")
	fmt.Println("encrypted later, with the key:", value, err)
	return nil
}

func open(dir string, key crypto.KeyProvider) (*state.Store, error) {
	return state.Open(dir, &state.Options{Engine: &state.EngineOptions{Encryption: &lsm.Encryption{Key: key}}})
}

// grep reports whether a file of a directory has text in it.
func grep(dir, text string) (bool, error) {
	found := false
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		p, err := os.ReadFile(name)
		found = found || bytes.Contains(p, []byte(text))
		return err
	})
	return found, err
}
