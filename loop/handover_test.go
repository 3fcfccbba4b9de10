package loop

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// unixPair returns both ends of a Unix connection.
func unixPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	here, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	_ = there.SetDeadline(time.Now().Add(testbed.Patience))
	return here.(*net.UnixConn), there.(*net.UnixConn)
}

// TestHandedOverListenerKeepsItsQueue: who has connected and is not accepted yet is
// accepted by the successor, though the listener has been closed where it came from.
func TestHandedOverListenerKeepsItsQueue(t *testing.T) {
	from, to := unixPair(t)
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", first.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := SendListeners(from, []byte("two"), first, second); err != nil {
		t.Fatal(err)
	}
	message, got, err := ReceiveListeners(to, make([]byte, 16))
	if err != nil || string(message) != "two" || len(got) != 2 {
		t.Fatalf("got %q and %d listeners, %v; want \"two\" and 2", message, len(got), err)
	}
	for i, ln := range []net.Listener{first, second} {
		if got[i].Addr().String() != ln.Addr().String() {
			t.Errorf("listener %d is at %v, want %v", i, got[i].Addr(), ln.Addr())
		}
		ln.Close()
		defer got[i].Close()
	}
	server, err := got[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if server.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("accepted %v, want %v", server.RemoteAddr(), client.LocalAddr())
	}
}

func TestReceiveListenersFromOneWhoLeaves(t *testing.T) {
	from, to := unixPair(t)
	from.Close()
	if _, got, err := ReceiveListeners(to, make([]byte, 16)); err == nil {
		t.Errorf("got %d listeners and no error", len(got))
	}
}

func TestPeer(t *testing.T) {
	_, to := unixPair(t)
	uid, pid, err := Peer(to)
	if err != nil || uid != os.Geteuid() || pid != os.Getpid() {
		t.Errorf("got user %d, process %d, %v; want %d, %d", uid, pid, err, os.Geteuid(), os.Getpid())
	}
}
