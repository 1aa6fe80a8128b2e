/**
 * The states of a client connection and the moves that are legal.
 *
 * - a move that is not in the table throws, in tests: what is shipped leaves the table out (test: illegal moves throw);
 * - `closed` is final (test: closed is final).
 */

/**
 * Where a connection stands: `greeting`, the socket is open and hello is out; `moving`, open and dialling the next
 * link because the server asked; `waiting`, for the next dial; `gave up` and `refused`: `retry()` is the way back.
 */
export type State =
  | "idle"
  | "dialling"
  | "greeting"
  | "open"
  | "moving"
  | "waiting"
  | "gave up"
  | "refused"
  | "closed";

/** The legal moves. Those to `idle` are made when nobody holds the connection any more. */
export const MOVES: Readonly<Record<State, readonly State[]>> = {
  idle: ["dialling", "closed"],
  dialling: ["greeting", "waiting", "gave up", "refused", "closed", "idle"],
  greeting: ["open", "waiting", "gave up", "refused", "closed", "idle"],
  open: ["moving", "waiting", "gave up", "refused", "closed", "idle"],
  moving: ["greeting", "open", "dialling", "refused", "closed", "idle"],
  waiting: ["dialling", "closed", "idle"],
  "gave up": ["dialling", "closed", "idle"],
  refused: ["dialling", "closed"],
  closed: [],
};

/** Throw, naming the move, unless the table allows it. */
export function checkMove(old: State, next: State): void {
  if (!MOVES[old].includes(next)) throw new Error(`illegal move: ${old} → ${next}`);
}
