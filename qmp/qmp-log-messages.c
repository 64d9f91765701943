/*
 * The kinds of lines that are told apart in the log: names, ids and levels.
 *
 * An id is random, made by "systemd-id128 new", and stays for good: scripts find lines by it. So a
 * kind that is no more leaves its id unused.
 */
#include "config.h"
#include "qmp/qmp-log.h"

static const QmpLogKind kinds[QMP_LOG_N_MESSAGES] = {
    [QMP_LOG_LOOP_STALLED] = { "loop-stalled", "a080c5df3d6e40d0abad78fe43a7bf3a",
                               G_LOG_LEVEL_WARNING },
    [QMP_LOG_LOOP_RESUMED] = { "loop-resumed", "e9d6a9d515eb451380a564aa05a90d85",
                               G_LOG_LEVEL_WARNING },
    [QMP_LOG_WATCHDOG_STARVES] = { "watchdog-starves", "1a1d151333054f22822f1e1ee6a1538c",
                                   G_LOG_LEVEL_WARNING },
    [QMP_LOG_WATCHDOG_FED] = { "watchdog-fed", "4e05a80b3f1d498faf22b7b6589ee330",
                               G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_CLIENT_REFUSED] = { "client-refused", "1c5f567d87154711a7285b4f457745ed",
                                 G_LOG_LEVEL_WARNING },
    [QMP_LOG_COMMAND_REFUSED] = { "command-refused", "2c3d482b834d43d79973add31a03370d",
                                  G_LOG_LEVEL_WARNING },
    [QMP_LOG_CLIENT_TURNED_AWAY] = { "client-turned-away", "5fe84a98ca1c4c6286a14ce2bbc371e1",
                                     G_LOG_LEVEL_WARNING },
    [QMP_LOG_SESSION_NOT_NEGOTIATED] = { "session-not-negotiated",
                                         "05c4cc49159d4c7296e8fb141c7e115d", G_LOG_LEVEL_WARNING },
    [QMP_LOG_SESSION_UNREAD] = { "session-unread", "e7828aacd589497a9e5a974f1d9cc7c6",
                                 G_LOG_LEVEL_WARNING },
    [QMP_LOG_DESCRIPTORS_DROPPED] = { "descriptors-dropped", "1eabbb35347b49579d4b44c8430ae1c6",
                                      G_LOG_LEVEL_WARNING },
    [QMP_LOG_DESCRIPTORS_FULL] = { "descriptors-full", "467b9a0c74c7447d83aaa45d9b61557c",
                                   G_LOG_LEVEL_WARNING },
    [QMP_LOG_ACCEPT_PAUSED] = { "accept-paused", "438a7530bcda4408a02266e347bc1d9a",
                                G_LOG_LEVEL_WARNING },
    [QMP_LOG_LINES_LOST] = { "lines-lost", "63a435372eb4455f8826653aaafabd1d",
                             G_LOG_LEVEL_WARNING },
    [QMP_LOG_SOCKET_SHUT_DOWN] = { "socket-shut-down", "6afe2decfd6c47eb8baa5f778423d6e7",
                                   G_LOG_LEVEL_WARNING },
    [QMP_LOG_TARGET_DOWN] = { "target-down", "06ca1cf46fe243b08396a26f3ae7b719",
                              G_LOG_LEVEL_WARNING },
    [QMP_LOG_TARGET_UP] = { "target-up", "1851c7a247954ee8b009d25a51215cb6", G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_COMMAND_DONE] = { "command-done", "2b7e7df63bcf4302b75dee79d1f33fdb",
                               G_LOG_LEVEL_INFO },
    [QMP_LOG_COMMAND_FAILED] = { "command-failed", "81b7ebb5892c440289c0142dddc722dd",
                                 G_LOG_LEVEL_INFO },
    [QMP_LOG_OBJECT_ADDED] = { "object-added", "36e67dc9997447deb05f5d9192be1f47",
                               G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_OBJECT_DELETED] = { "object-deleted", "f6f5ac08a61b49969faed56cf0c92f00",
                                 G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_PROPERTY_SET] = { "property-set", "6b274463c3ef4bd1ba3d1a80c6be40fe",
                               G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_PROPERTY_SET_FOR_NOW] = { "property-set-for-now", "d1aaf506556d490e9a247ab650a6178b",
                                       G_LOG_LEVEL_INFO },
    [QMP_LOG_CONFIGURATION_APPLIED] = { "configuration-applied", "68b710cc8e8849709aaecff63b2c931a",
                                        G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_CONFIGURATION_REFUSED] = { "configuration-refused", "1ba7a8e4743e49d694685ece22033391",
                                        G_LOG_LEVEL_WARNING },
    [QMP_LOG_CONFIGURATION_NOT_UNDONE] = { "configuration-not-undone",
                                           "0abad044662a44b789417b2bcc61e36f",
                                           G_LOG_LEVEL_WARNING },
    [QMP_LOG_READY] = { "ready", "172631e111dd4498afcaeb714ab4d024", G_LOG_LEVEL_INFO },
    [QMP_LOG_ENDING] = { "ending", "7415992569a241089bf24e4d835e1aa0", G_LOG_LEVEL_MESSAGE },
    [QMP_LOG_START_FAILED] = { "start-failed", "b611a420c7a44bbf8f92837b1442a319",
                               G_LOG_LEVEL_CRITICAL },
    [QMP_LOG_MANAGER_UNREACHABLE] = { "manager-unreachable", "7f742e4e521b42dc800a1dfdf9e11bdd",
                                      G_LOG_LEVEL_WARNING },
    [QMP_LOG_SESSION_OPENED] = { "session-opened", "623fa866dff242c58e3b4f0fbf2a960e",
                                 G_LOG_LEVEL_INFO },
    [QMP_LOG_SESSION_CLOSED] = { "session-closed", "a6bcff89a4b54dcf9a6304ff16d276c1",
                                 G_LOG_LEVEL_INFO },
};

const QmpLogKind *qmp_log_kind(QmpLogMessage message)
{
    return &kinds[message];
}
