package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/respgate/respgate/tenant"
)

// changedMove has proxies ask what becomes of moves: it concerns no key.
const changedMove = "INSERT INTO changes (key_id) VALUES (NULL)"

// ReportProxy notes that a proxy lives, and what it says of moves: by token, whether all
// writes wait there and none is under way. It returns which moves there are. A move that is
// over is not noted.
func (s *Store) ReportProxy(ctx context.Context, p tenant.Proxy, says map[string]bool) (m tenant.Moves, err error) {
	err = s.write(ctx, "report_proxy", func(tx statements) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO proxies (id, region, started_at, seen_at, beat, applied) VALUES (?, ?, ?, ?, 1, ?)
			ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, beat = proxies.beat + 1, applied = excluded.applied`,
			p.ID, p.Region, millis(p.StartedAt), millis(p.SeenAt), p.Applied)
		if err != nil {
			return err
		}
		for token, holding := range says {
			_, err := tx.ExecContext(ctx, `INSERT INTO move_reports (token, proxy_id, holding) SELECT token, ?, ? FROM moves WHERE token = ?
				ON CONFLICT (token, proxy_id) DO UPDATE SET holding = excluded.holding`, p.ID, bit(holding), token)
			if err != nil {
				return err
			}
		}
		if m.All, err = list(ctx, tx, scanMove, selectMove); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM changes").Scan(&m.Seq)
	})
	return m, err
}

// ForgetProxy notes that a proxy has ended: no move waits for it.
func (s *Store) ForgetProxy(ctx context.Context, id string) error {
	return s.write(ctx, "forget_proxy", func(tx statements) error {
		return runAll(ctx, tx, []string{"DELETE FROM proxies WHERE id = ?", "DELETE FROM move_reports WHERE proxy_id = ?"}, id)
	})
}

// Proxies returns the proxies that run on the store, and those that have ended without a
// word and are not purged yet, by id.
func (s *Store) Proxies(ctx context.Context) (all []tenant.Proxy, err error) {
	err = s.read(ctx, "proxies", func() (err error) {
		all, err = list(ctx, s.db, scanProxy, selectProxy)
		return err
	})
	return all, err
}

// BeginMove notes that an instance is about to be moved to target, an address, and by whom: the
// token of the answer says so from now on. ErrConflict when it is being moved already, ErrInvalid
// when another one is being moved to the same address.
func (s *Store) BeginMove(ctx context.Context, org, name, target string) (m tenant.Move, in tenant.Instance, err error) {
	err = s.write(ctx, "begin_move", func(tx statements) error {
		if in, err = s.instance(ctx, tx, org, name); err != nil {
			return err
		}
		switch err := tx.QueryRowContext(ctx, "SELECT token FROM moves WHERE instance_id = ?", in.ID).Scan(new(string)); {
		case err == nil:
			return conflict("instance %q of organization %q is being moved already", name, org)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		switch err := tx.QueryRowContext(ctx, "SELECT token FROM moves WHERE target = ?", target).Scan(new(string)); {
		case err == nil:
			return invalid("another instance is being moved to the same backend")
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		token, err := newID()
		if err != nil {
			return err
		}
		m = tenant.Move{InstanceID: in.ID, Label: in.Label(), Token: token, Beat: 1}
		if _, err := tx.ExecContext(ctx, "INSERT INTO moves (instance_id, token, target, beat, holding, begun_at) VALUES (?, ?, ?, 1, 0, ?)", in.ID, token, target, millis(now())); err != nil {
			return err
		}
		return s.changed(ctx, tx, changedMove)()
	})
	return m, in, err
}

// Moves returns the moves that there are.
func (s *Store) Moves(ctx context.Context) (all []tenant.Move, err error) {
	err = s.read(ctx, "watch_move", func() (err error) {
		all, err = list(ctx, s.db, scanMove, selectMove)
		return err
	})
	return all, err
}

// WatchMove notes that a move's mover lives, and returns what proxies say of it.
// tenant.ErrNotFound is that the move is over.
func (s *Store) WatchMove(ctx context.Context, token string) (r tenant.MoveReports, err error) {
	err = s.write(ctx, "watch_move", func(tx statements) error {
		if err := oneMove(ctx, tx, "UPDATE moves SET beat = beat + 1 WHERE token = ?", token); err != nil {
			return err
		}
		if r.Proxies, err = list(ctx, tx, scanProxy, selectProxy); err != nil {
			return err
		}
		said, err := list(ctx, tx, scanReport, "SELECT proxy_id, holding FROM move_reports WHERE token = ?", token)
		r.Holding = map[string]bool{}
		for _, one := range said {
			r.Holding[one.proxy] = one.holding
		}
		return err
	})
	return r, err
}

// HoldMove has proxies hold up the instance's writes. tenant.ErrNotFound is that the move is over.
func (s *Store) HoldMove(ctx context.Context, token string) error {
	return s.write(ctx, "hold_move", func(tx statements) error {
		if err := oneMove(ctx, tx, "UPDATE moves SET holding = 1 WHERE token = ?", token); err != nil {
			return err
		}
		return s.changed(ctx, tx, changedMove)()
	})
}

// FinishMove gives the instance its new URL and ends the move, which must be holding, both at
// once. It returns the number of the change that clients follow. tenant.ErrNotFound is that
// the move is over: somebody has ended it, and proxies may have let writes go on;
// ErrStale that the instance is not as it was in version.
func (s *Store) FinishMove(ctx context.Context, token string, version int64, url tenant.Secret) (seq int64, err error) {
	err = s.write(ctx, "finish_move", func(tx statements) error {
		var id string
		if err := tx.QueryRowContext(ctx, "SELECT instance_id FROM moves WHERE token = ? AND holding = 1", token).Scan(&id); err != nil {
			return moveOver(err)
		}
		in, err := s.scanInstance(tx.QueryRowContext(ctx, selectInstance+liveInstance+" AND i.id = ?", id))
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("the instance")
		}
		if err != nil {
			return err
		}
		if err := CheckVersion(version, in.Version); err != nil {
			return err
		}
		in.URL = url
		if err := checkInstance(&in); err != nil {
			return err
		}
		if err := s.changed(ctx, tx, changedKeysOfInstance)(id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE instances SET url = ?, version = version + 1 WHERE id = ?", s.seal.seal(url.Reveal(), id), id); err != nil {
			return err
		}
		if err := endMove(ctx, tx, token); err != nil {
			return err
		}
		if err := s.changed(ctx, tx, changedMove)(); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT max(seq) FROM changes").Scan(&seq)
	})
	return seq, err
}

// EndMove ends a move that comes to nothing, if it is there and, unless beat is 0, its mover
// has not been heard of since. It reports whether it has.
func (s *Store) EndMove(ctx context.Context, token string, beat int64) (ended bool, err error) {
	err = s.write(ctx, "end_move", func(tx statements) error {
		err := tx.QueryRowContext(ctx, "SELECT token FROM moves WHERE token = ? AND CAST(? AS BIGINT) IN (0, beat)", token, beat).Scan(new(string))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = endMove(ctx, tx, token)
		}
		if err == nil {
			err = s.changed(ctx, tx, changedMove)()
		}
		ended = err == nil
		return err
	})
	return ended, err
}

func endMove(ctx context.Context, tx statements, token string) error {
	return runAll(ctx, tx, []string{"DELETE FROM moves WHERE token = ?", "DELETE FROM move_reports WHERE token = ?"}, token)
}

// oneMove runs a statement that changes the one move.
func oneMove(ctx context.Context, tx statements, statement, token string) error {
	n, err := affected(ctx, tx, statement, token)
	if err == nil && n == 0 {
		err = sql.ErrNoRows
	}
	return moveOver(err)
}

func moveOver(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return notFound("the move: it is over, or was ended since its mover was not heard of; it")
	}
	return err
}

const (
	selectProxy = "SELECT id, region, started_at, seen_at, beat, applied FROM proxies ORDER BY id"
	selectMove  = "SELECT m.instance_id, o.name || '/' || i.name, m.token, m.beat, m.holding FROM moves m JOIN instances i ON i.id = m.instance_id JOIN organizations o ON o.id = i.org_id ORDER BY m.instance_id"
)

func scanProxy(row scanner) (p tenant.Proxy, err error) {
	var started, seen int64
	err = row.Scan(&p.ID, &p.Region, &started, &seen, &p.Beat, &p.Applied)
	p.StartedAt, p.SeenAt = time.UnixMilli(started).UTC(), time.UnixMilli(seen).UTC()
	return p, err
}

func scanMove(row scanner) (m tenant.Move, err error) {
	var holding int
	err = row.Scan(&m.InstanceID, &m.Label, &m.Token, &m.Beat, &holding)
	m.Holding = holding == 1
	return m, err
}

// report is what a proxy has said of a move.
type report struct {
	proxy   string
	holding bool
}

func scanReport(row scanner) (r report, err error) {
	var holding int
	err = row.Scan(&r.proxy, &holding)
	r.holding = holding == 1
	return r, err
}
