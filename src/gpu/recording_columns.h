// SPDX-License-Identifier: Apache-2.0
/* The columns of a recording that are not values, in the order in which they are written. */
#pragma once

enum recording_column {
    COLUMN_TIME,
    COLUMN_GPU,
    COLUMN_STATE,
    COLUMN_UUID,
    COLUMN_MODEL,
    COLUMN_PCI,
    COLUMN_DRIVER,
    COLUMN_INDEX,
    COLUMN_MEMORY,
    COLUMN_PARENT,
    COLUMN_INSTANCE,
    COLUMN_PROFILE,
    RECORDING_COLUMNS, // from here on: values
};

extern const char *const recording_columns[RECORDING_COLUMNS];
