"""The live view: what a terminal shows of a run while it happens.

What is finished scrolls away as a log (messages, tool calls, custom data), and a region at the bottom is redrawn in
place: the tree of subgraphs, the messages and tool calls that are under way, and the buffers. So the log can be
scrolled back, searched and copied, and is still there when the run has ended, which neither a full-screen program nor
the terminal's alternate screen can offer; and the region says at a glance what a log hides, who waits for whom.

The region is drawn with rich's text, but not with its `Live` display, for three reasons. `Live` moves the cursor up by
the number of lines that it printed, which is wrong once a terminal has been made narrower and has wrapped them: it
leaves copies of itself behind; here the lines are counted again for each frame. It writes a frame in several pieces;
here it is one write between the marks of a synchronised update, so that it does not flicker. And it draws where it is
told to; here drawing has a thread of its own, so that a terminal that is slow, or stopped with Ctrl-S, never holds up
the run, on any lane.

`model` is what the events say, as plain state; `render` is what it looks like, as lines of text; neither knows of
threads, terminals or runs. `screen` writes frames, and `live` brings all of these together.
"""
