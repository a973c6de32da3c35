/* SPDX-License-Identifier: BSD-3-Clause */
/* The protocol of the control socket, version 1.
 *
 * A stream socket.  Each request is one line with one JSON object, and gets
 * one line with one JSON object as answer, in order.  A request has
 *
 *   "version": 1             required
 *   "command": NAME          required
 *   "what":    "topology" (default), "maps", "paths", "sessions",
 *              "clients", "metrics", "status" (both text only)    show
 *   "map":     NAME or WWID  show (default: all); fail, reinstate
 *                            (default: any); required by
 *                            resize, suspend, resume, switchgroup; "maps" or none is all
 *                            for disablequeueing, restorequeueing; rescan
 *   "path":    the portal ADDRESS:PORT, or the column H:C:I:L of the topology
 *              (topology.h); required by fail, reinstate
 *   "portal":  ADDRESS[:PORT]; required by add, del
 *   "group":   number of a path group, from 1; required by switchgroup
 *   "format":  "text" (default), "json"        show
 *   "colour":  true, false (default)           show, as text
 *   "map", "action": required by persist; ACTION is one of control_actions
 *   "rk", "sark": keys, in hex; "type": 0 to 15; "aptpl", "all_tg_pt": true,
 *              false (default)                 persist
 *
 * and nothing else.  Commands: version, show, fail, reinstate,
 * disablequeueing, restorequeueing, rescan, resize, suspend, resume, switchgroup, reconfigure,
 * add, del, watch, persist.
 *
 * The answer has "version": 1 and "ok": true or false; with false "error",
 * one line for people.  With true, depending on the command:
 *
 *   show             "output": the text, or an object (multipathd's JSON);
 *                    "state": 0 all paths are well, 1 some are not, 2 a map has
 *                    none, 3 there is no map
 *   version          "server": of the program; "pid"; "protocol": 1
 *   watch            "watching": true; from then on each change is a line
 *                    "version": 1, "event": "path", "session" or "map", with
 *                    "map", "path" (H:C:I:L), "portal", "target", "session",
 *                    "from", "to", "active", "why", "what" as they apply; the
 *                    client sends nothing more
 *   persist          "status": as mpathpersist's exit status; "data": what a
 *                    PERSISTENT RESERVE IN has answered, in hex; "paths": of
 *                    each that was tried "hcil", "portal", "status", "error"
 *   the others       "output": what was done, for people
 *
 * A server that does not know a version answers "ok": false and the version
 * that it knows.
 *
 * Pure.
 */
#ifndef MPISCSI_CONTROL_REQUEST_H
#define MPISCSI_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_VERSION 1
#define CONTROL_REQUEST 4096    /* bytes of one line, with the newline */
#define CONTROL_NAME 304        /* of a map, path or portal, with the NUL */

enum control_command {
  CONTROL_VERSION_COMMAND, CONTROL_SHOW, CONTROL_FAIL, CONTROL_REINSTATE,
  CONTROL_DISABLEQUEUEING, CONTROL_RESTOREQUEUEING, CONTROL_SWITCHGROUP,
  CONTROL_RECONFIGURE,
  CONTROL_RESCAN, CONTROL_RESIZE, CONTROL_SUSPEND, CONTROL_RESUME,
  CONTROL_ADD, CONTROL_DEL, CONTROL_WATCH, CONTROL_PERSIST,
  NR_CONTROL_COMMANDS
};
enum control_what {
  CONTROL_TOPOLOGY, CONTROL_MAPS, CONTROL_PATHS, CONTROL_SESSIONS,
  CONTROL_METRICS, CONTROL_STATUS, CONTROL_NBD_CLIENTS,
  NR_CONTROL_WHATS
};

struct control_request {
  enum control_command command;
  enum control_what what;
  bool json, colour;
  /* persist: */
  unsigned action, type;        /* control_actions */
  uint64_t rk, sark;
  bool aptpl, all_tg_pt;
  unsigned group;               /* of paths, from 1 */
  char map[CONTROL_NAME], path[CONTROL_NAME], portal[CONTROL_NAME]; /* "" none */
};

/* What persist can do, by mpathpersist's words; ends with NULL. */
struct control_action {
  const char *name;
  bool in;
  unsigned code;                /* enum pr_in or pr_out */
};
extern const struct control_action control_actions[];

/* LINE need not end with NUL.  0, or -1 with one line in err, without control
 * characters. */
extern int control_parse (const char *line, size_t len,
                          struct control_request *req, char *err, size_t size);
/* One line, malloc'd; NULL: no memory, or JSON is NULL. */
struct json_t;
extern char *control_text (const struct json_t *json);

#endif /* MPISCSI_CONTROL_REQUEST_H */
