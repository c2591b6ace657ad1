// Package crypto keeps the keys of an encrypted store and gives its files their ciphers.
//
// A master key, which is in no file of the store, seals the keyring (Ring). The keyring holds
// the data keys. Each file has a cipher of its own, derived from a data key, a random salt and
// the file's kind and UID, so that package internal/seal can count nonces from 0 in each. Files
// hold the id of their data key and never a key: a new master key means one small file written
// anew, a new data key means that new files take it.
//
// A vault (Vault) holds the keys of scopes, for values that are sealed apart so that they can be
// shredded: what was sealed under a destroyed key is gone.
//
// Both are files of the same form (outer.go), replaced as a whole (file.go), read only if the
// key is the right one, authenticated to the last bit, and numbered by an epoch, so that an
// Anchor kept elsewhere tells an older file from the newest.
//
// Keys are never in an error, nor in what fmt, encoders and loggers show of any value of this
// package. Wiping them is done where it can be: docs/security.md says what that is worth.
//
//	ring, err := crypto.Open(ctx, crypto.KeyFile("store.key"), crypto.Expected{}, options)
//	salt, err := seal.NewSalt(rand.Reader)
//	aead, id, err := ring.NewFile(fileid.KindTable, uid, salt)
//	sealer := seal.NewSealer(aead, fileid.KindTable, uid)
//
// Reading order: key.go, cipher.go, derive.go; outer.go, file.go, anchor.go; keyset.go, ring.go,
// rotate.go; provider.go, passphrase.go; vault.go, value.go. Layouts are in
// docs/formats/keyring.md and docs/formats/sealing.md.
//
// The package knows nothing of the engine. Log, tables and manifest know nothing of it: they are
// given functions that return a cipher.
package crypto
