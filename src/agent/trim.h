// SPDX-License-Identifier: Apache-2.0
/* Memory that only the start needed. */
#pragma once

// Gives back the resident pages of code and constants of the program and its libraries (relocation
// and initialization touched most of them once), and free heap. What is used again is read again
// from the page cache, at the price of a page fault. A third of the agent's resident memory.
void agent_trim_startup_memory(void);
