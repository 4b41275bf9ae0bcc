// SPDX-License-Identifier: Apache-2.0
/*
 * The verbs of the program `gpuscale`, one file each: a verb reads its options, makes one call and
 * returns the exit status (0 done, 1 failed, 2 wrong usage). argv[0] is the verb.
 */
#pragma once

int verb_scaler(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_load(int argc, char **argv);
int verb_demo(int argc, char **argv);
int verb_engine(int argc, char **argv);
int verb_certs(int argc, char **argv);
int verb_hpa(int argc, char **argv);
int verb_generate(int argc, char **argv);
