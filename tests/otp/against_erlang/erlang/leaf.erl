%% A worker of the random trees; see Leaf in ../../random_trees/garden.py.
-module(leaf).
-behaviour(gen_server).
-export([start/4, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

start(Path, Slow, Owner, Refusals) ->
    gen_server:start_link(?MODULE, [Path, Slow, Owner, Refusals], [{timeout, 150}]).

init([Path, Slow, Owner, Refusals]) ->
    case ets:lookup(Refusals, Path) of
        [{_, [refuse | Rest]}] ->
            ets:insert(Refusals, {Path, Rest}),
            {stop, refused};
        [{_, [hang | Rest]}] ->
            ets:insert(Refusals, {Path, Rest}),
            timer:sleep(infinity);
        _ ->
            process_flag(trap_exit, true),
            Owner ! {up, Path, self()},
            {ok, {Path, Slow, Owner}}
    end.

handle_call(_, _, State) -> {reply, ok, State}.

handle_cast(crash, _) -> exit(boom);
handle_cast(Reason, State) -> {stop, Reason, State}.

handle_info(_, State) -> {noreply, State}.

terminate(_, {Path, Slow, Owner}) ->
    timer:sleep(Slow),
    Owner ! {down, Path}.
