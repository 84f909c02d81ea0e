// The scheduler's API for Apache Thrift's library for browsers (thrift.js), which must be loaded first.
// What follows this runtime is data: enums, constants, structs, services.
var AuroraThrift = (function (scope) {
  'use strict';
  var Thrift = scope.Thrift;
  var Type = Thrift.Type;
  // Per primitive: its type on the wire, and the ending of the protocol's methods.
  var PRIMITIVES = {
    bool: [Type.BOOL, 'Bool'],
    double: [Type.DOUBLE, 'Double'],
    i32: [Type.I32, 'I32'],
    i64: [Type.I64, 'I64'],
    string: [Type.STRING, 'String']
  };

  // A type is the name of a primitive or of a struct, or a collection: [kind, type of its members].
  function wireType(type) {
    if (Array.isArray(type)) {
      return { list: Type.LIST, map: Type.MAP, set: Type.SET }[type[0]];
    }
    return PRIMITIVES[type] ? PRIMITIVES[type][0] : Type.STRUCT;
  }

  function isSet(value) {
    return value !== undefined && value !== null;
  }

  // A copy that shares no collection and no struct with what was given; objects become structs.
  function adopt(type, value) {
    if (!Array.isArray(type)) {
      return PRIMITIVES[type] || !isSet(value) ? value : new scope[type](value);
    }
    if (type[0] !== 'map') {
      return value.map(function (member) { return adopt(type[1], member); });
    }
    var copy = {};
    Object.keys(value).forEach(function (key) { copy[key] = adopt(type[1], value[key]); });
    return copy;
  }

  function write(output, type, value) {
    if (PRIMITIVES[type]) {
      output['write' + PRIMITIVES[type][1]](value);
    } else if (!Array.isArray(type)) {
      (value instanceof scope[type] ? value : new scope[type](value)).write(output);
    } else if (type[0] === 'map') {
      var keys = Object.keys(value);
      output.writeMapBegin(Type.STRING, wireType(type[1]), keys.length);
      keys.forEach(function (key) {
        output.writeString(key);
        write(output, type[1], value[key]);
      });
      output.writeMapEnd();
    } else {
      var kind = type[0] === 'set' ? 'Set' : 'List';
      output['write' + kind + 'Begin'](wireType(type[1]), value.length);
      value.forEach(function (member) { write(output, type[1], member); });
      output['write' + kind + 'End']();
    }
  }

  function read(input, type) {
    if (PRIMITIVES[type]) {
      return input['read' + PRIMITIVES[type][1]]().value;
    }
    if (!Array.isArray(type)) {
      var struct = new scope[type]();
      struct.read(input);
      return struct;
    }
    var i;
    if (type[0] === 'map') {
      var map = {};
      var pairs = input.readMapBegin();
      for (i = 0; i < (pairs.size || 0); i += 1) {
        // The library leaves the entry before on its stack.
        if (i > 0 && input.rstack.length > input.rpos[input.rpos.length - 1] + 1) {
          input.rstack.pop();
        }
        var key = read(input, 'string');
        map[key] = read(input, type[1]);
      }
      input.readMapEnd();
      return map;
    }
    var kind = type[0] === 'set' ? 'Set' : 'List';
    var all = [];
    var head = input['read' + kind + 'Begin']();
    for (i = 0; i < (head.size || 0); i += 1) {
      all.push(read(input, type[1]));
    }
    input['read' + kind + 'End']();
    return all;
  }

  // A struct or union; each field is [id, name, type].
  function struct(name, fields) {
    var byId = {};
    fields.forEach(function (field) { byId[field[0]] = field; });
    var made = function (given) {
      var self = this;
      fields.forEach(function (field) {
        var value = given ? given[field[1]] : null;
        self[field[1]] = isSet(value) ? adopt(field[2], value) : null;
      });
    };
    made.prototype.read = function (input) {
      input.readStructBegin();
      for (;;) {
        var head = input.readFieldBegin();
        if (head.ftype === Type.STOP) {
          break;
        }
        var field = byId[head.fid];
        if (field && wireType(field[2]) === head.ftype) {
          this[field[1]] = read(input, field[2]);
        } else {
          input.skip(head.ftype);
        }
        input.readFieldEnd();
      }
      input.readStructEnd();
    };
    made.prototype.write = function (output) {
      var self = this;
      output.writeStructBegin(name);
      fields.forEach(function (field) {
        if (isSet(self[field[1]])) {
          output.writeFieldBegin(field[1], wireType(field[2]), field[0]);
          write(output, field[2], self[field[1]]);
          output.writeFieldEnd();
        }
      });
      output.writeFieldStop();
      output.writeStructEnd();
    };
    scope[name] = made;
    return made;
  }

  // A service; each method is [name, fields of its arguments]. Its client is NAMEClient, which has the
  // methods of `parent` too. With a function behind a method's arguments the call does not block: the
  // function gets the response, or the error; with jQuery, the call is jQuery's.
  function service(name, parent, methods) {
    var client = function (input, output) {
      this.input = input;
      this.output = output || input;
      this.seqid = 0;
    };
    client.prototype = Object.create(parent ? scope[parent + 'Client'].prototype : Object.prototype);
    client.prototype.constructor = client;
    methods.forEach(function (entry) {
      var method = entry[0];
      var fields = entry[1];
      var Arguments = struct(name + '_' + method + '_args', fields);
      var Result = struct(name + '_' + method + '_result', [[0, 'success', 'Response']]);
      function put(self, given) {
        var named = {};
        fields.forEach(function (field, i) { named[field[1]] = given[i]; });
        self.output.writeMessageBegin(method, Thrift.MessageType.CALL, self.seqid);
        new Arguments(named).write(self.output);
        self.output.writeMessageEnd();
      }
      client.prototype['send_' + method] = function () {
        var callback = arguments[fields.length];
        put(this, arguments);
        return this.output.getTransport().flush(callback);
      };
      client.prototype['recv_' + method] = function () {
        var head = this.input.readMessageBegin();
        if (head.mtype === Thrift.MessageType.EXCEPTION) {
          var exception = new Thrift.TApplicationException();
          exception.read(this.input);
          this.input.readMessageEnd();
          throw exception;
        }
        var result = new Result();
        result.read(this.input);
        this.input.readMessageEnd();
        if (result.success === null) {
          throw method + ' failed: the reply has no response';
        }
        return result.success;
      };
      client.prototype[method] = function () {
        var self = this;
        var receive = self['recv_' + method];
        var callback = arguments[fields.length];
        if (typeof callback !== 'function') {
          self['send_' + method].apply(self, Array.prototype.slice.call(arguments, 0, fields.length));
          return receive.call(self);
        }
        put(self, arguments);
        var transport = self.output.getTransport();
        if (typeof scope.jQuery !== 'undefined') {
          return transport.jqRequest(self, transport.flush(true), arguments, receive);
        }
        return transport.flush(true, function () {
          var answer;
          try {
            answer = receive.call(self);
          } catch (error) {
            answer = error;
          }
          callback(answer);
        });
      };
    });
    scope[name + 'Client'] = client;
  }

  return {
    names: function (values) {
      Object.keys(values).forEach(function (name) { scope[name] = values[name]; });
    },
    service: service,
    struct: struct
  };
}(typeof window === 'undefined' ? globalThis : window));
