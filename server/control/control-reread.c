/* SPDX-License-Identifier: BSD-3-Clause */
/* `reconfigure`: the file is read in a thread of its own, since its disk may hang
 * (it may even be the one that we serve); then the service thread takes what was
 * read.  Service thread, lock held. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "conf/settings.h"
#include "control/control.h"
#include "control/control-internal.h"
#include "control/control-request.h"
#include "engine/engine.h"
#include "engine/offload.h"

struct reread {
  struct engine *engine;
  struct offload *offload;
  void (*done) (void *opaque, json_t *answer);
  void *opaque;
};

/* The thread's. */
struct reading {
  struct settings *(*reread) (void *opaque, char *err, size_t size);
  void *opaque;
  struct settings *settings;    /* NULL: err */
  char err[ERR_SIZE];
};

static void
read_it (void *data)
{
  struct reading *r = data;

  r->settings = r->reread (r->opaque, r->err, sizeof r->err);
}

static void
reading_free (void *data)
{
  struct reading *r = data;

  settings_free (r->settings);
  free (r);
}

static json_t *
take (struct engine *e, struct reading *r)
{
  struct settings *settings = r->settings;
  char err[ERR_SIZE] = "";

  if (settings == NULL)
    return control_error ("not changed: %s", r->err);
  r->settings = NULL;
  if (e->reconfigure (e->reconfigure_opaque, settings, err, sizeof err) == -1)
    return control_error ("not changed: %s", err);
  log_info ("reconfigured by the administrator");
  return json_pack ("{s:i,s:b,s:s}", "version", CONTROL_VERSION, "ok", 1,
                    "output", "reconfigured");
}

static void
was_read (void *opaque, void *data)
{
  struct reread *reread = opaque;

  reread->done (reread->opaque, take (reread->engine, data));
  free (reread);
}

struct reread *
control_reread (struct engine *e,
                void (*done) (void *opaque, json_t *answer), void *opaque,
                json_t **error)
{
  struct reread *reread;
  struct reading *r;

  if (e->reread == NULL) {
    *error = control_error ("this server cannot read its configuration again");
    return NULL;
  }
  reread = calloc (1, sizeof *reread);
  r = calloc (1, sizeof *r);
  if (reread != NULL && r != NULL) {
    reread->engine = e;
    reread->done = done;
    reread->opaque = opaque;
    r->reread = e->reread;
    r->opaque = e->reconfigure_opaque;
    reread->offload = offload_start (e->loop, read_it, was_read, reading_free, r,
                                     reread);
    if (reread->offload != NULL)
      return reread;
  }
  free (reread);
  free (r);
  *error = control_error ("not changed: out of memory");
  return NULL;
}

void
control_reread_cancel (struct reread *reread)
{
  offload_cancel (reread->offload);
  free (reread);
}
