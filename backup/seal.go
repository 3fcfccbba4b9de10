package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Seal says how a file is encrypted: each chunk of entries with age, to a key pair of the
// file's own, whose secret half is encrypted to whoever may read the file. So a backup can
// be gone on with by who may not read it.
type Seal struct {
	For       string `json:"for"`       // SealedForRecipients or SealedForPassphrase
	Recipient string `json:"recipient"` // the public half
	Identity  []byte `json:"identity"`  // an age file with the secret half
}

// Whom a file is encrypted for.
const (
	SealedForRecipients = "recipients"
	SealedForPassphrase = "passphrase"
)

// NewSeal makes a file's key pair for recipients, or for who knows the passphrase.
func NewSeal(recipients []age.Recipient, passphrase string) (*Seal, error) {
	s := &Seal{For: SealedForRecipients}
	if passphrase != "" {
		r, err := age.NewScryptRecipient(passphrase)
		if err != nil {
			return nil, err
		}
		s.For, recipients = SealedForPassphrase, []age.Recipient{r}
	}
	own, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	s.Recipient = own.Recipient().String()
	s.Identity, err = encrypt([]byte(own.String()), recipients...)
	return s, err
}

// open returns the secret half.
func (s *Seal) open(identities []age.Identity) (*age.X25519Identity, error) {
	wants := "want the identity of one of its recipients"
	if s.For == SealedForPassphrase {
		wants = "want its passphrase"
	}
	if len(identities) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrSealed, wants)
	}
	secret, err := decrypt(s.Identity, maxNote, identities...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) || errors.Is(err, age.ErrIncorrectIdentity) {
			return nil, fmt.Errorf("%w, and not for what is given: %s", ErrSealed, wants)
		}
		return nil, fmt.Errorf("%w: its key: %w", ErrDamaged, err)
	}
	own, err := age.ParseX25519Identity(string(secret))
	if err != nil {
		return nil, fmt.Errorf("%w: its key: %w", ErrDamaged, err)
	}
	return own, nil
}

func encrypt(plain []byte, to ...age.Recipient) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return sealed.Bytes(), err
}

func decrypt(sealed []byte, limit int64, with ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), with...)
	if err != nil {
		return nil, err
	}
	return readAll(r, limit)
}

var errLong = errors.New("it is too long")

// readAll reads what is not longer than limit.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errLong
	}
	return b, err
}

// packer makes bodies of chunks of entries: compressed, then encrypted.
type packer struct {
	zstd *zstd.Encoder        // nil: not compressed
	to   *age.X25519Recipient // nil: not encrypted
}

func newPacker(h Header) (p packer, err error) {
	if h.Compress == Zstd {
		if p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
			return p, err
		}
	}
	if h.Seal != nil {
		if p.to, err = age.ParseX25519Recipient(h.Seal.Recipient); err != nil {
			return p, fmt.Errorf("%w: its key: %w", ErrDamaged, err)
		}
	}
	return p, nil
}

func (p packer) pack(plain []byte) ([]byte, error) {
	if p.zstd != nil {
		plain = p.zstd.EncodeAll(plain, nil)
	}
	if p.to == nil {
		return plain, nil
	}
	return encrypt(plain, p.to)
}

// unpacker undoes what packer does.
type unpacker struct {
	zstd *zstd.Decoder
	with *age.X25519Identity
}

func newUnpacker(h Header, identities []age.Identity) (u unpacker, err error) {
	switch h.Compress {
	case None:
	case Zstd:
		// It reads as a stream, so that memory grows with what is there, not with what a frame
		// says of itself.
		if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20)); err != nil {
			return u, err
		}
	default:
		return u, fmt.Errorf("%w: it is compressed with %.20q", ErrNewer, h.Compress)
	}
	if h.Seal != nil {
		u.with, err = h.Seal.open(identities)
	}
	return u, err
}

func (u unpacker) unpack(body []byte) (_ []byte, err error) {
	if u.with != nil {
		if body, err = decrypt(body, maxChunk, u.with); err != nil {
			return nil, err
		}
	}
	if u.zstd == nil {
		return body, nil
	}
	if err := u.zstd.Reset(bytes.NewReader(body)); err != nil {
		return nil, err
	}
	return readAll(u.zstd, maxChunk)
}

func (u unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}
