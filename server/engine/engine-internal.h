/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_ENGINE_INTERNAL_H
#define MPISCSI_ENGINE_INTERNAL_H

#include "engine/engine.h"

/* clock.c: once each turn of the loop, before anything else; LONGEST: seconds
 * after which there would have been one anyway. */
extern void clock_turn (struct engine_clock *clock, double longest);

#endif /* MPISCSI_ENGINE_INTERNAL_H */
