package privacy

// What a word says of a name that it stands in.
const (
	wordSecret   = 1 << iota // it holds a secret
	wordPassword             // it holds a secret that people choose
	wordKey                  // it does, after a word that says which: api key, private key
	wordTokens               // likewise: tokens alone are counted
	wordOfKey                // such a word
	wordPass                 // it does alone, or after the name of what lets in
	wordOfPass               // such a name
	wordAbout                // as the last word: the name is of something about the secret
	wordAsks                 // as the word before: whether there is one, or how many
	wordFirst                // with one of the next kind, it does: social security, card number
	wordSecond               //
)

// maxWordBytes is the length of the longest word that says something.
const maxWordBytes = 16

var words = func() map[string]uint16 {
	out := map[string]uint16{}
	for kind, list := range map[uint16][]string{
		wordSecret: {"secret", "secrets", "token", "apikey", "apikeys", "authtoken", "accesstoken", "credential", "credentials", "creds",
			"auth", "authorization", "bearer", "cookie", "cookies", "ssn", "cvv", "cvc", "privatekey", "secretkey", "accesskey"},
		wordPassword: {"password", "passwords", "passwd", "pwd", "passphrase", "passphrases", "passcode"},
		wordKey:      {"key", "keys"},
		wordTokens:   {"tokens"},
		wordOfKey: {"api", "access", "private", "secret", "encryption", "signing", "master", "service", "ssh", "account", "shared",
			"client", "auth", "deploy", "refresh", "session", "bearer", "hmac", "symmetric"},
		wordPass: {"pass"},
		wordOfPass: {"db", "database", "user", "admin", "root", "smtp", "ftp", "mail", "mysql", "postgres", "pg", "redis", "proxy", "http",
			"login", "imap", "ldap"},
		wordAbout: {"count", "counts", "type", "limit", "limits", "usage", "length", "len", "size", "policy", "expiry", "expires",
			"expiration", "ttl", "at", "in", "url", "uri", "endpoint", "name", "names", "id", "ids", "hint", "method", "methods", "mode", "file",
			"path", "required", "enabled", "valid", "rotation", "age", "version", "status", "state", "format", "algorithm", "alg",
			"budget", "cost", "price", "index", "position", "offset", "rate", "bucket", "ring", "scheme", "provider", "strength",
			"attempts", "updated", "created", "changed", "reset", "field", "label", "min", "max", "used", "remaining", "per", "level",
			"error", "errors", "service", "server", "host", "total"},
		wordAsks: {"has", "is", "no", "use", "uses", "total", "max", "min", "num", "count", "needs", "require", "requires", "forgot",
			"with", "without", "any", "every", "each", "per", "next", "last", "first", "prompt", "completion", "input", "output"},
		wordFirst:  {"social", "card"},
		wordSecond: {"security", "number"},
	} {
		for _, word := range list {
			out[word] |= kind
		}
	}
	return out
}()

// nameKind is what a name says of its value.
type nameKind uint8

const (
	namePlain    nameKind = iota
	nameSecret            // a token, a key, …
	namePassword          // chosen by people, perhaps short and simple
)

// reader of names: it keeps what the last words were.
type nameReader struct {
	count      int
	last, prev uint16
	kind       nameKind // what the name is if it ends with the last word
	any        bool     // some word was sensitive
	asks       bool     // the first word asks
}

// word takes in the next word of a name.
func (r *nameReader) word(flags uint16) {
	asked := r.last&wordAsks != 0
	if r.count++; r.count == 1 {
		r.asks = flags&wordAsks != 0
	}
	r.prev, r.last = r.last, flags
	r.kind = namePlain
	switch {
	case asked:
	case flags&wordPassword != 0, flags&wordPass != 0 && (r.count == 1 || r.prev&wordOfPass != 0):
		r.kind = namePassword
	case flags&wordSecret != 0, flags&(wordKey|wordTokens) != 0 && r.prev&wordOfKey != 0,
		flags&wordSecond != 0 && r.prev&wordFirst != 0:
		r.kind = nameSecret
	}
	r.any = r.any || r.kind != namePlain
}

// read takes in the words of a name: they end at signs, where small letters are followed by
// a capital one, before the last of several capitals that small letters follow, and where
// letters and digits meet.
func (r *nameReader) read(name string) {
	var lower [maxWordBytes]byte
	for i := 0; i < len(name); {
		if !isLetter(name[i]) && !isDigit(name[i]) {
			i++
			continue
		}
		start := i
		for i++; i < len(name) && !wordStarts(name, i); i++ {
		}
		if i-start > maxWordBytes {
			r.word(0)
			continue
		}
		for j := start; j < i; j++ {
			c := name[j]
			if isUpper(c) {
				c |= 0x20
			}
			lower[j-start] = c
		}
		r.word(words[string(lower[:i-start])])
	}
}

func isLetter(c byte) bool { return isUpper(c&^0x20) || c >= 0x80 }

// wordStarts reports whether the byte at i, after a letter or digit, is not of the same word.
func wordStarts(name string, i int) bool {
	p, c := name[i-1], name[i]
	switch {
	case isDigit(c):
		return !isDigit(p)
	case !isLetter(c):
		return true
	case isDigit(p):
		return true
	case isUpper(c):
		return !isUpper(p) || i+1 < len(name) && isLetter(name[i+1]) && !isUpper(name[i+1])
	}
	return false
}

// SensitiveName reports whether a field of this name is taken to hold a secret, as the detector
// field takes it: apiKey is, and total_tokens is not.
func SensitiveName(name string) bool { return sensitive(name) }

// sensitive reports whether a field with the name holds a secret: it has a sensitive word,
// as a whole word, and neither asks whether there is one or how many, nor is of something
// about it. So author, total_tokens, tokenizer, token_count and has_password are not.
func sensitive(name string) bool {
	var r nameReader
	r.read(name)
	return r.any && !r.asks && r.last&wordAbout == 0
}

// assigned returns what a name in a text says of the value after it, by its last words.
func assigned(name string) nameKind {
	var r nameReader
	r.read(name)
	return r.kind
}
