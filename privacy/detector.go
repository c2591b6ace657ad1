package privacy

import "fmt"

// Detector is a kind of personal data or credential.
type Detector uint8

// Detectors. Of two that find the same bytes the first in this order names them.
const (
	AWS        Detector = iota // identifiers of AWS access keys
	GitHub                     // tokens of GitHub
	Anthropic                  // API keys of Anthropic
	OpenAI                     // API keys of OpenAI
	Slack                      // tokens of Slack
	JWT                        // signed JSON web tokens
	PrivateKey                 // blocks of PEM with a private key
	Email                      // e-mail addresses
	Card                       // numbers of payment cards: issuer, length and check digit
	IBAN                       // bank accounts: country, length and check digits
	SSN                        // social security numbers of the United States
	Phone                      // telephone numbers, international and in common national forms
	IPv4                       // addresses
	IPv6                       // addresses
	Assignment                 // values after key=, token:, password and the like, in text
	Field                      // everything in a field with a sensitive name, or that a rule takes whole

	detectors = int(Field) + 1
)

var detectorNames = [detectors]string{
	"aws", "github", "anthropic", "openai", "slack", "jwt", "private-key", "email", "card", "iban", "ssn", "phone",
	"ipv4", "ipv6", "assignment", "field",
}

// String returns the detector's name, which ParseDetector accepts.
func (d Detector) String() string {
	if int(d) < detectors {
		return detectorNames[d]
	}
	return fmt.Sprintf("detector(%d)", uint8(d))
}

// ParseDetector returns the detector with the name.
func ParseDetector(name string) (Detector, error) {
	for d, known := range detectorNames {
		if name == known {
			return Detector(d), nil
		}
	}
	return 0, fmt.Errorf("%w: no detector %q", ErrInvalidPolicy, name)
}

// Finding says what was found where, and never the value itself.
type Finding struct {
	// Detector says what it is.
	Detector Detector
	// Mode says what became of it.
	Mode Mode
	// InName says that it is in the last name of the path, which no mode changes: Block
	// refuses it, the others report it.
	InName bool
	// Path leads to the value: names and positions joined by dots, "" for the document
	// itself. Dots and backslashes in a name are escaped by a backslash, and a name that
	// is itself personal data is redacted.
	Path string
	// Start and End bound the finding in the text at Path, or in its last name, in bytes:
	// [Start, End). They are zero where the value is no text.
	Start, End int
}

// String names the detector, the mode, the path and the offsets.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s at %q [%d, %d)", f.Mode, f.Detector, f.Path, f.Start, f.End)
}
