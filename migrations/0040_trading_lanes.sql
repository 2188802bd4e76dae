-- Which process carries an instrument's lane. The others forward their commands to it, so that a hot instrument stays one
-- batch however many processes there are. It decides who works, never what is true: that is the lock of the instrument's
-- `stream` row. `epoch` moves with the owner, so that of two who take over at once one wins.
CREATE TABLE trading.lane (
    instrument uuid PRIMARY KEY,
    owner      text NOT NULL CHECK (owner <> ''),
    epoch      bigint NOT NULL CHECK (epoch > 0),
    at         timestamptz NOT NULL
);

SELECT weir.grant_module('trading');
