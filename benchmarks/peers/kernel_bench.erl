%% The rows of bench_kernel.py on the real BEAM. Reads `row n` from standard input, answers with one line of figures
%% in the row's unit, one for each measurement, until standard input ends. bench_kernel.py compiles it with erlc
%% (debug_info off, so plain native code of the JIT) and runs it by `erl +S 1:1`: one scheduler, as the table compares
%% cores. Each row runs in a fresh process, so that none inherits the heap of the one before.
-module(kernel_bench).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2, handle_info/2, start_child/0]).

-define(GROWTH_OPERATIONS, 200000).
-define(GROWTH_SPAWNS, 50000).
-define(RESTARTS, 10).
-define(TIMERS, 500).
-define(TIMER_WINDOW, 2000).

main() ->
    logger:set_primary_config(level, none),
    io:format("OTP ~s, erts ~s, ~s, ~b scheduler~n",
              [erlang:system_info(otp_release), erlang:system_info(version), erlang:system_info(emu_flavor),
               erlang:system_info(schedulers_online)]),
    requests().

requests() ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            [Row, N] = string:lexemes(Line, " \n"),
            Values = in_process(fun() -> lists:flatten([row(list_to_atom(Row), list_to_integer(N))]) end),
            io:format("~s~n", [lists:join(" ", [io_lib:format("~.4f", [float(V)]) || V <- Values])]),
            requests()
    end.

in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({done, Fun()}) end),
    receive {'DOWN', Ref, process, Pid, {done, Value}} -> Value;
            {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

row(call, N) -> call(N);
row(call_async, N) -> call(N);  % here every handler may wait: there is one kind
row(cast, N) -> cast(N);
row(spawn_exit, N) -> seconds(fun() -> spawn_loop(N) end) * 1.0e9 / N;
row(start_stop, N) -> seconds(fun() -> start_loop(N) end) * 1.0e9 / N;
row(restart, N) -> restart(N);
row(broadcast, N) -> broadcast(N);
row(fan_out, N) -> fan_out(N);
row(idle_bytes, N) -> idle_bytes(N, start);
row(linked_bytes, N) -> idle_bytes(N, start_link);
row(growth, N) -> growth(N);
row(timer, N) -> timer(N).

seconds(Fun) ->
    Start = erlang:monotonic_time(nanosecond),
    Fun(),
    (erlang:monotonic_time(nanosecond) - Start) / 1.0e9.

call(N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, 0, []),
    Time = seconds(fun() -> call_loop(Pid, N) end),
    ok = gen_server:stop(Pid),
    Time * 1.0e9 / N.

call_loop(_, 0) -> ok;
call_loop(Pid, N) -> gen_server:call(Pid, {add, 1}), call_loop(Pid, N - 1).

cast(N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, 0, []),
    Time = seconds(fun() -> cast_loop(Pid, N), gen_server:call(Pid, {add, 0}, infinity) end),
    ok = gen_server:stop(Pid),
    Time * 1.0e9 / N.

cast_loop(_, 0) -> ok;
cast_loop(Pid, N) -> gen_server:cast(Pid, {add, 1}), cast_loop(Pid, N - 1).

spawn_loop(0) -> ok;
spawn_loop(N) ->
    {Pid, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, process, Pid, _} -> ok end,
    spawn_loop(N - 1).

start_loop(0) -> ok;
start_loop(N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, 0, []),
    ok = gen_server:stop(Pid),
    start_loop(N - 1).

%% From the kill of a child to the moment its successor's init is done, seen by the one who killed: every restart.
%% A fresh supervisor after every few: its list of restarts in the window, gone through each time, stays as short as
%% in life.
restart(N) ->
    register(bench, self()),
    Times = [restarts() || _ <- lists:seq(1, max(1, N div ?RESTARTS))],
    unregister(bench),
    Times.

restarts() ->
    {ok, Sup} = supervisor:start_link(?MODULE, supervisor),
    receive {up, First} -> ok end,
    Times = restart_loop(First, ?RESTARTS, []),
    unlink(Sup),
    Ref = monitor(process, Sup),
    exit(Sup, kill),
    receive {'DOWN', Ref, process, Sup, _} -> ok end,
    Times.

restart_loop(_, 0, Times) -> Times;
restart_loop(Pid, N, Times) ->
    Start = erlang:monotonic_time(nanosecond),
    exit(Pid, kill),
    receive {up, Next} -> ok end,
    restart_loop(Next, N - 1, [(erlang:monotonic_time(nanosecond) - Start) / 1000 | Times]).

start_child() -> gen_server:start_link(?MODULE, announce, []).

broadcast(N) ->
    Pids = servers(N, start_link, self()),
    Time = seconds(fun() -> [Pid ! ping || Pid <- Pids], await(N, pong) end),
    kill_all(Pids),
    Time * 1000.

await(0, _) -> ok;
await(N, What) -> receive What -> await(N - 1, What) end.

fan_out(N) ->
    Pids = servers(N, start, 0),
    Time = seconds(fun() ->
        [[gen_server:cast(Pid, {add, 1}) || Pid <- Pids] || _ <- lists:seq(1, 10)],
        [gen_server:call(Pid, {add, 0}, infinity) || Pid <- Pids]
    end),
    kill_all(Pids),
    Time.

%% Growth of the resident set by one waiting server, as on our side; what its allocators hold back counts on both.
idle_bytes(N, Start) ->
    servers(100, Start, 0),
    Before = resident_bytes(),
    Pids = servers(N, Start, 0),
    garbage_collect(),
    Bytes = (resident_bytes() - Before) / N,
    kill_all(Pids),
    Bytes.

resident_bytes() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(binary_to_list(Text), " "),
    list_to_integer(Pages) * 4096.

%% With N servers alive: ns to start one, to call and to cast to one of them at random, to spawn and see the end of
%% another process.
growth(N) ->
    Start = seconds(fun() -> put(pids, servers(N, start, 0)) end),
    Pids = list_to_tuple(get(pids)),
    Picked = [element(rand:uniform(N), Pids) || _ <- lists:seq(1, ?GROWTH_OPERATIONS)],
    Call = in_process(fun() -> seconds(fun() -> [gen_server:call(Pid, {add, 1}) || Pid <- Picked] end) end),
    Cast = in_process(fun() -> seconds(fun() ->
        [gen_server:cast(Pid, {add, 1}) || Pid <- Picked],
        [gen_server:call(Pid, {add, 1}, infinity) || Pid <- lists:sublist(Picked, 100)]
    end) end),
    Spawn = in_process(fun() -> seconds(fun() -> spawn_loop(?GROWTH_SPAWNS) end) end),
    kill_all(get(pids)),
    [Start * 1.0e9 / N, Call * 1.0e9 / ?GROWTH_OPERATIONS, Cast * 1.0e9 / ?GROWTH_OPERATIONS,
     Spawn * 1.0e9 / ?GROWTH_SPAWNS].

%% How late timers are, in ms, while N servers always have a message to handle.
timer(N) ->
    Busy = servers(N, start, 0),
    [Pid ! spin || Pid <- Busy],
    Owner = self(),
    Delays = [100 + ?TIMER_WINDOW * I div ?TIMERS || I <- lists:seq(1, ?TIMERS)],
    Begin = erlang:monotonic_time(nanosecond),
    [spawn(fun() ->
        receive after max(0, Delay - (erlang:monotonic_time(nanosecond) - Begin) div 1000000) -> ok end,
        Owner ! {late, (erlang:monotonic_time(nanosecond) - Begin) / 1.0e6 - Delay}
    end) || Delay <- Delays],
    Late = [receive {late, Ms} -> max(0.0, Ms) end || _ <- Delays],
    kill_all(Busy),
    Late.

servers(N, Start, Arg) -> [element(2, gen_server:Start(?MODULE, Arg, [])) || _ <- lists:seq(1, N)].

kill_all(Pids) -> [begin unlink(P), exit(P, kill) end || P <- Pids].

init(supervisor) ->
    {ok, {#{intensity => ?RESTARTS + 1, period => 3600}, [#{id => child, start => {?MODULE, start_child, []}}]}};
init(announce) ->
    bench ! {up, self()},
    {ok, 0};
init(State) -> {ok, State}.

handle_call({add, By}, _From, State) -> {reply, State + By, State + By}.
handle_cast({add, By}, State) -> {noreply, State + By}.
handle_info(ping, Owner) -> Owner ! pong, {noreply, Owner};
handle_info(spin, State) -> self() ! spin, {noreply, State + 1}.
