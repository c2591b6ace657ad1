package crypto_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// leaks are the ways in which a secret's bytes may be written.
func leaks(secret []byte) []string {
	spaced := strings.Trim(fmt.Sprint(secret[:8]), "[]")
	return []string{
		string(secret[:8]), strings.ToLower(hex.EncodeToString(secret[:8])), strings.ToUpper(hex.EncodeToString(secret[:8])),
		base64.StdEncoding.EncodeToString(secret[:9]), spaced, strings.ReplaceAll(spaced, " ", ","), strings.ReplaceAll(spaced, " ", ", "),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret[:8]), "[]byte{"), "}"),
	}
}

// everyForm writes a value in every way that a program may, unknowing, write it.
func everyForm(t *testing.T, v any) string {
	var out strings.Builder
	for _, verb := range "vsqxXdobctTpUeEfFgGw" {
		for _, flags := range []string{"", "+", "#", " ", "# ", "0", "-20"} {
			fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
		}
	}
	fmt.Fprintln(&out, v)
	js, err := json.Marshal(v)
	fmt.Fprintln(&out, string(js), err)
	x, err := xml.Marshal(v)
	fmt.Fprintln(&out, string(x), err)
	var g bytes.Buffer
	fmt.Fprintln(&out, gob.NewEncoder(&g).Encode(v), g.String())
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("message", "value", v, "error", fmt.Errorf("wrapped: %v", v))
	}
	return out.String()
}

// R36, trap 84: keys and passphrases show in no form of any value that holds them, alone, in
// exported fields, and in unexported ones, whose methods printers cannot call.
func TestSecretsDoNotShow(t *testing.T) {
	secret := []byte("QwErTyUiOpAsDfGhJkLzXcVbNm012345")
	k, err := crypto.NewKey(secret)
	require.NoError(t, err)
	fs := newFS(t)
	o := options(fs)
	o.Cipher = crypto.ChaCha20Poly1305 // its state is the key itself
	r, err := crypto.Create(ctx, storeUID, crypto.KeyBytes(secret), o)
	require.NoError(t, err)
	v, err := crypto.CreateVault(vaultUID, k, o)
	require.NoError(t, err)
	id := newKey(t, v)
	aead, _, err := r.NewFile(fileid.KindTable, fileUID, seal.Salt{})
	require.NoError(t, err)
	known := leaks(secret)
	body, err := crypto.Body(readBytes(t, fs, crypto.KeyringName), k)
	require.NoError(t, err)
	known = append(known, leaks(body[24:56])...)
	dataKey, err := crypto.NewKey(body[len(body)-32:])
	require.NoError(t, err)
	known = append(known, leaks(body[len(body)-32:])...)
	known = append(known, leaks(crypto.FileKey(dataKey, crypto.ChaCha20Poly1305, fileid.KindTable, fileUID, seal.Salt{}))...)
	body, err = crypto.Body(readBytes(t, fs, crypto.VaultName), k)
	require.NoError(t, err)
	known = append(known, leaks(body[len(body)-32:])...)

	type nested struct {
		Exported any
		hidden   any
		key      crypto.Key
		pointer  *crypto.Key
		keys     []crypto.Key
		byName   map[string]crypto.Key
		sealer   *seal.Sealer
		opener   seal.Opener
	}
	sealer, opener := seal.NewSealer(aead, fileid.KindTable, fileUID), seal.NewOpener(aead, fileid.KindTable, fileUID)
	values := []any{
		k, &k, []crypto.Key{k}, [1]crypto.Key{k}, map[string]crypto.Key{"k": k}, r, v, aead, sealer, opener, *opener, id,
		status(t, r), anchor(t, r), crypto.KeyBytes(secret), crypto.Passphrase(secret, cheap),
		crypto.KeyEnv("LOAM_KEY", func(string) (string, bool) { return string(secret), true }),
		crypto.KeyFunc(func(context.Context) ([]byte, error) { return secret, nil }),
	}
	for i := range values {
		values = append(values, nested{values[i], values[i], k, &k, []crypto.Key{k}, map[string]crypto.Key{"k": k}, sealer, *opener})
	}
	for _, value := range values {
		shown := everyForm(t, value)
		for _, leak := range known {
			require.NotContains(t, shown, leak, "%T", value)
		}
	}
	require.Equal(t, "crypto.Key(redacted)", fmt.Sprint(k))
	text, err := json.Marshal(k)
	require.NoError(t, err)
	require.Equal(t, `"crypto.Key(redacted)"`, string(text))

	// The test can fail.
	require.Contains(t, everyForm(t, struct{ key []byte }{secret}), known[1])
}

// Errors of everything that takes a secret show none of it.
func TestErrorsShowNoSecret(t *testing.T) {
	secret := []byte("QwErTyUiOpAsDfGhJkLzXcVbNm012345")
	text := hex.EncodeToString(secret)
	fs := newFS(t)
	create(t, fs)
	name := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(name, []byte("!"+text[1:]), 0o600))
	_, parse := crypto.ParseKey([]byte("!" + text[1:]))
	_, encoded := crypto.ParseKey([]byte("!" + base64.StdEncoding.EncodeToString(secret)[1:]))
	_, length := crypto.NewKey(append(bytes.Clone(secret), 1))
	errs := []error{parse, encoded, length}
	for _, p := range []crypto.KeyProvider{
		crypto.KeyBytes(secret), crypto.KeyBytes(secret[1:]), crypto.KeyFile(name), crypto.Passphrase(secret, cheap),
		crypto.KeyEnv("LOAM_KEY", func(string) (string, bool) { return string(secret), true }),
	} {
		_, err := open(fs, p)
		require.Error(t, err)
		errs = append(errs, err)
	}
	for _, err := range errs {
		require.Error(t, err)
		for _, leak := range append(leaks(secret), text[1:9], text[2:10]) {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), leak)
		}
	}
}

// R36: nothing of a key, an id or a state stands in the files in clear.
func TestFilesShowNothing(t *testing.T) {
	fs := newFS(t)
	r := create(t, fs)
	secret, _, err := r.VaultKeys()
	require.NoError(t, err)
	v, err := crypto.CreateVault(vaultUID, secret, options(fs))
	require.NoError(t, err)
	id := newKey(t, v)
	for name, k := range map[string]crypto.Key{crypto.KeyringName: key(t, 1), crypto.VaultName: secret} {
		p := readBytes(t, fs, name)
		body, err := crypto.Body(p, k)
		require.NoError(t, err)
		for at := range len(body) - 16 {
			if run := body[at : at+16]; !bytes.Equal(run, make([]byte, 16)) {
				require.NotContains(t, string(p), string(run), "%s, %d", name, at)
			}
		}
		require.NotContains(t, string(p), string(id[:]))
	}
}
